"""Segmentation nodes: train networks, predict test cases, score acquired slices."""

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import StateFiles
from slicefill.execution.each import prepared
from slicefill.params import AugmentationParams, ExecutorParams, ScoringParams, SegmentationParams
from slicefill.segmentation.scans import ScanSet
from slicefill.types import (
    Checkpoint,
    Lazy,
    ModelPromise,
    Models,
    Prediction,
    Promise,
    read_record,
)

if TYPE_CHECKING:
    from slicefill.plugins import System
    from slicefill.segmentation.interface import SegmentationData, Setting


def train_segmenters(
    scans: dict[str, ScanSet],
    states: StateFiles,
    params: SegmentationParams,
    augmentation: AugmentationParams,
) -> dict[str, ModelPromise]:
    """Promise one network per training and seed, as `method/engine_seed`.

    Methods that learn from the same share the network of the first one (`ScanSet.network`). It is
    tracked in the run of the first row that it stands in.

    Raises:
        ValueError: If there is something to train, and no label to learn.
    """
    from slicefill.segmentation.engines import find_engine
    from slicefill.segmentation.interface import SegmentationData, Setting

    classes = _classes(params) if scans else ()
    promises: dict[str, ModelPromise] = {}
    for method, own in scans.items():
        varied, trained = _varied(own, augmentation), _trained_as(own, params)
        engine = find_engine(own.engine, params)
        for seed in own.seeds or params.seeds:
            name = f"{own.network}/{own.engine}_{seed}"
            if name in promises:
                continue
            data = SegmentationData(own.drawn(seed), own.validation, classes)
            setting = Setting(trained, varied, seed)
            promises[name] = ModelPromise(
                partial(_train, name, engine, data, setting, states, row=own.row or method),
                engine.module.training_fingerprint(data, engine.params, setting),
            )
    return promises


def _classes(params: SegmentationParams) -> tuple[int, ...]:
    """Ids of the background and of the labels that a network learns."""
    if len(params.label_names) < 2:
        msg = (
            "segmentation.label_names: expected the background and a label at least, got "
            f"{params.label_names}: set label_names in conf/<environment>/globals.yml, such as "
            "{0: background, 1: liver}, or name a trained network (segmentation.network, of views "
            "fusion.segmenter.network)"
        )
        raise ValueError(msg)
    return tuple(sorted(params.label_names))


def _varied(own: ScanSet, params: AugmentationParams) -> AugmentationParams:
    """Augmentation as a row of the table has it."""
    usual = params.transforms if own.transforms else []
    changes: dict[str, Any] = {"transforms": [*own.add_transforms, *usual]}
    if own.synthetic_fraction is not None:
        changes["synthetic_fraction"] = own.synthetic_fraction
    return params.model_copy(update=changes)


def _trained_as(own: ScanSet, params: SegmentationParams) -> SegmentationParams:
    """Training as a row of the table has it: more steps per epoch, other patches."""
    options = params.optimisation
    changes: dict[str, Any] = {
        "steps_per_epoch": max(1, round(options.steps_per_epoch * own.steps)),
        "lesions": own.lesions or options.lesions,
    }
    return params.model_copy(update={"optimisation": options.model_copy(update=changes)})


def _train(
    name: str,
    engine: "System",
    data: "SegmentationData",
    setting: "Setting",
    states: StateFiles,
    *,
    row: str,
) -> Checkpoint:
    from slicefill.training.fit import Run

    member = name.rpartition("/")[2]
    with tracking.child_run(row):
        shared = setting.params.model_dump(exclude={"engines"})
        own = {"kind": engine.kind, **engine.params.model_dump()}
        tracking.log_params({"engine": engine.name, "segmentation": {**shared, "engine": own}})
        run = Run(states[name], tracking.reporter(f"{member}/"))
        made = engine.module.train(data, engine.params, setting, run)
        # With these it predicts without `conf/`: `slicefill segment`.
        seen = setting.augmentation.model_dump(include={"window", "through_plane"})
        if data.training:
            seen["spacing"] = data.training[min(data.training)].make().spacing.tolist()
        seen["label_names"] = setting.params.label_names
        return {"engine": engine.kind, **made, **seen}


def record_learning(
    models: Models, scans: dict[str, ScanSet], params: SegmentationParams
) -> pd.DataFrame:
    """Learning curves: `method`, `network`, `epoch`, `term`, `value`."""
    histories = [pd.DataFrame(columns=["method", "network", "epoch", "term", "value"])]
    for (method, network), row in _trained(models, scans, params).items():
        history = pd.DataFrame(models[f"{method}/{network}"]()["history"])
        history.insert(0, "method", row)
        history.insert(1, "network", network)
        histories.append(history)
    return pd.concat(histories[1:] or histories, ignore_index=True)


def _trained(
    models: Models, scans: dict[str, ScanSet], params: SegmentationParams
) -> dict[tuple[str, str], str]:
    """Row of every training that did not fail, by its method and network (`engine_seed`)."""
    wanted = {
        (own.network, f"{own.engine}_{seed}"): own.network.removesuffix(own.repetition(method))
        for method, own in scans.items()
        for seed in own.seeds or params.seeds
    }
    return {pair: row for pair, row in wanted.items() if "/".join(pair) in models}


def score_predictions(
    predictions: dict[str, Lazy[Prediction]],
    prediction_index: pd.DataFrame,
    acquired_cases: dict[str, Promise],
    cases: dict[str, Promise],
    params: ScoringParams,
    executor: ExecutorParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every prediction on the acquired slices of its case, or on all at full resolution.

    Returns:
        One row per prediction: what the index says of it, and the scores. Predictions that
        failed, and cases without labels, have none. And the predictions that could not be
        scored: `case`, `reason`.

    Raises:
        ValueError: If no prediction has a score.
    """
    from slicefill.execution.each import run_each

    index = prediction_index.to_dict("records")
    pairs = {
        row["prediction"]: (
            predictions[row["prediction"]],
            acquired_cases[row["case"]],
            cases.get(row["case"]),
        )
        for row in sorted(index, key=itemgetter("case"))  # so that a process reads a case once
        if row["prediction"] in predictions
    }
    scores, failed = run_each(partial(_score_prediction, params), pairs, executor, "score")
    rows = [row | scores[row["prediction"]] for row in index if scores.get(row["prediction"])]
    if not rows:
        first = next(iter(failed.values()), "there are none")
        msg = f"no test case could be scored: expected label maps and predictions; {first}"
        raise ValueError(msg)
    return pd.DataFrame(rows), pd.DataFrame(failed.items(), columns=["case", "reason"])


def _score_prediction(
    params: ScoringParams, _: str, item: tuple[Lazy[Prediction], Promise, Promise | None]
) -> dict[str, float]:
    """Scores of a prediction; none where the truth is unknown."""
    from slicefill.segmentation.prediction import score_at_full_resolution, score_prediction

    prediction, acquired, isotropic = item
    record = read_record(acquired) if params.slices == "all" else {}
    if record.get("factor", 1) == 1 or isotropic is None:
        case = prepared(acquired)
        if case.label is None:
            return {}
        return score_prediction(prediction.make(), case.label, params, absent=case.absent)
    truth = prepared(isotropic).label
    if truth is None:
        return {}
    return score_at_full_resolution(prediction.make(), truth, record, params)


def audit_predictions(
    predictions: dict[str, Lazy[Prediction]],
    prediction_index: pd.DataFrame,
    acquired_cases: dict[str, Promise],
    audits: dict[str, dict[str, Any]],
) -> pd.DataFrame:
    """Run the audits of `conf/` on the predictions of the test cases."""
    from slicefill.audits import run_audits

    of_networks: dict[str, dict[str, Lazy[Prediction]]] = {}
    for name, case in zip(prediction_index["prediction"], prediction_index["case"], strict=True):
        if name in predictions:
            network = name.rpartition("/")[0]
            of_networks.setdefault(network, {})[case] = predictions[name]
    return run_audits(audits, acquired_cases, of_networks)
