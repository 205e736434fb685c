"""The node that predicts: every test case by every network, each method in its way."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill.execution.each import prepared
from slicefill.fingerprint import fingerprint
from slicefill.params import (
    ComparedMethod,
    ComparisonParams,
    ImputationParams,
    SegmentationParams,
    as_plain,
)
from slicefill.segmentation.scans import ScanPromise, ScanSet
from slicefill.types import Checkpoint, Lazy, Models, Prediction, Promise

if TYPE_CHECKING:
    from slicefill.imputation.imputers import Imputer
    from slicefill.plugins import System
    from slicefill.segmentation.interface import Predictor

logger = logging.getLogger(__name__)
_UNEVEN = 2.5  # of `jump`: so a network that is hardly shift-equivariant


@dataclass(frozen=True)
class _Way:
    """How one method comes to the fine grid.

    Attributes:
        method: Its row.
        rule: How it imputes.
        system: The entry of `methods` by which it imputes; None where the network sees all slices.
        model: Reads the trained model of that entry, if it learns.
    """

    method: ComparedMethod
    rule: ImputationParams
    system: "System | None"
    model: Callable[[], Checkpoint] | None


@dataclass(frozen=True)
class _Ready:
    """A network and what imputes its labels, ready for the cases of one method."""

    predictor: "Predictor"
    imputer: "Imputer | None"
    softness: float


def predict_cases(
    models: Models,
    scans: dict[str, ScanSet],
    splits: pd.DataFrame,
    acquired_cases: dict[str, Promise],
    imputation_models: Models,
    params: SegmentationParams,
    comparison: ComparisonParams,
    parameters: dict[str, Any],
) -> tuple[dict[str, Lazy[Prediction]], pd.DataFrame]:
    """Promise the prediction of every test case by every network, as `method/engine_seed/case`.

    Predictions lie on the grid of the imputed case, to which every method comes in its own way.

    Returns:
        The promises, and an index of them: `prediction`, `method`, `engine`, `seed`, `network`
        (of this seed: rows that share it share the training), `case`, `subject`.
    """
    subject = dict(zip(splits["case"], splits["subject"], strict=True))
    promises: dict[str, Lazy[Prediction]] = {}
    rows = []
    for method, own in scans.items():
        row, end = own.row or method, own.repetition(method)
        chosen = comparison.chosen[row]
        chosen = chosen.model_copy(update={"imputed_by": f"{chosen.imputed_by}{end}"})
        way = _find_way(chosen, imputation_models, parameters)
        for seed in own.seeds or params.seeds:
            member = f"{own.engine}_{seed}"
            read = models.get(f"{own.network}/{member}")
            if read is None:  # its training failed
                continue
            for case, promise in _promise(read, own, way, params, acquired_cases).items():
                name = f"{method}/{member}/{case}"
                promises[name] = promise
                network = f"{own.network}/{member}"
                rows.append((name, row, own.engine, seed, network, case, subject[case]))
    columns = ["prediction", "method", "engine", "seed", "network", "case", "subject"]
    return promises, pd.DataFrame(rows, columns=columns)


def _find_way(method: ComparedMethod, models: Models, parameters: Mapping[str, Any]) -> _Way:
    from slicefill.imputation.methods import find_method

    rule = method.rule(ImputationParams.model_validate(as_plain(parameters)["imputation"]))
    if method.predict in ("grid", "phases"):
        return _Way(method, rule, None, None)
    system = find_method(method.imputed_by, parameters)
    return _Way(method, rule, system, models.get(method.imputed_by))


def _promise(
    read: Callable[[], Checkpoint],
    own: ScanSet,
    way: _Way,
    params: SegmentationParams,
    acquired_cases: Mapping[str, Promise],
) -> dict[str, Lazy[Prediction]]:
    """Promise the prediction of every test case by one network, by case."""
    from slicefill.segmentation.engines import find_engine

    engine, trained = find_engine(own.engine, params), read()["fingerprint"]
    # What imputes determines the scan, and with it its fingerprint.
    gone = (way.method.predict, way.method.logarithms, way.method.group)
    ready = Lazy(partial(_prepare, engine, read, way, params), fingerprint(trained, params, gone))
    predict = partial(_predict, ready, way, params)
    return {
        case: Lazy(
            partial(predict, case, scan, own.grids[case], acquired_cases[case]),
            fingerprint(trained, scan.fingerprint, params.inference, gone),
        )
        for case, scan in own.test.items()
    }


def _prepare(
    engine: "System", read: Callable[[], Checkpoint], way: _Way, params: SegmentationParams
) -> _Ready:
    """Make network and imputer ready, in whichever process predicts."""
    from slicefill.imputation.imputers import load_imputer
    from slicefill.segmentation.prediction import make_predictor

    imputer = None
    if way.method.predict in ("labels", "fused") and way.system is not None:
        imputer = load_imputer(way.system, way.model() if way.model else None, way.rule)
    return _Ready(make_predictor(engine.module, read(), params), imputer, params.inference.softness)


def _predict(
    ready: "Lazy[_Ready]",
    way: _Way,
    params: SegmentationParams,
    case: str,
    scan: ScanPromise,
    grid: Promise,
    acquired: Promise,
) -> Prediction:
    from slicefill.segmentation.fine_grid import find_way, label_mover
    from slicefill.segmentation.prediction import make_prediction

    own, imputed, method = prepared(ready), grid.make(), way.method
    acquired_slices = imputed.record.get("acquired_slices", "kept")  # absent: nothing was imputed
    if method.predict != "grid" and acquired_slices not in ("kept", "true"):
        msg = (
            f"predict: {method.predict}: expected acquired slices as they were, but those of "
            f"{method.imputed_by} are {acquired_slices}: set restore_acquired: true in the row, "
            "and imputation.orthogonal: false"
        )
        raise ValueError(msg)
    predictor = find_way(
        method.predict,
        own.predictor,
        rule=getattr(way.system.params, "rule", "") if way.system else "",
        logarithms=method.logarithms,
        move=label_mover(acquired.make(), own.imputer, way.rule) if own.imputer else None,
        softness=own.softness,
    )
    made = make_prediction(predictor, scan.make(), imputed, params)
    if method.predict == "phases" and made.record["jump"] > _UNEVEN:
        logger.warning(
            "%s: labels change unevenly from slice to slice (jump %.1f): the network is hardly "
            "shift-equivariant; look at the result",
            case,
            made.record["jump"],
        )
    return made
