"""Segmentation nodes: train networks, predict test cases, score acquired slices."""

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import Slots
from slicefill.fingerprint import fingerprint
from slicefill.params import AugmentationParams, ScoringParams, SegmentationParams
from slicefill.segmentation.scans import ScanPromise, ScanSet
from slicefill.types import Checkpoint, Lazy, ModelPromise, Models, Prediction, Promise

if TYPE_CHECKING:
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting


def train_segmenters(
    scans: dict[str, ScanSet],
    slots: Slots,
    params: SegmentationParams,
    augmentation: AugmentationParams,
) -> dict[str, ModelPromise]:
    """Promise one network per method and seed, as `method/engine_seed`."""
    from slicefill.segmentation.interface import SegmentationData, Setting
    from slicefill.segmentation.train import training_mark

    classes = tuple(sorted(params.label_names))
    promises = {}
    for method, own in scans.items():
        data = SegmentationData(own.training, own.validation, classes)
        varied = (
            augmentation if own.transforms else augmentation.model_copy(update={"transforms": None})
        )
        for seed in params.seeds:
            setting = Setting(params, varied, seed)
            name = f"{method}/{own.engine}_{seed}"
            promises[name] = ModelPromise(
                partial(_train, name, own.engine, data, setting, slots),
                training_mark(own.engine, data, setting),
            )
    return promises


def _train(
    name: str, engine: str, data: "SegmentationData", setting: "Setting", slots: Slots
) -> Checkpoint:
    from slicefill.segmentation.engines import find_engine
    from slicefill.training import Run

    method, _, member = name.partition("/")
    with tracking.child_run(method):
        tracking.log_params({"engine": engine, "segmentation": setting.params.model_dump()})
        run = Run(slots[name], tracking.reporter(f"{member}/"))
        return find_engine(engine).train(data, setting, run)


def record_learning(
    models: Models, scans: dict[str, ScanSet], params: SegmentationParams
) -> pd.DataFrame:
    """Learning curves: `method`, `network`, `epoch`, `term`, `value`."""
    histories = [pd.DataFrame(columns=["method", "network", "epoch", "term", "value"])]
    for method, network in _networks(models, scans, params):
        history = pd.DataFrame(models[f"{method}/{network}"]()["history"])
        history.insert(0, "method", method)
        history.insert(1, "network", network)
        histories.append(history)
    return pd.concat(histories[1:] or histories, ignore_index=True)


def predict_cases(
    models: Models, scans: dict[str, ScanSet], params: SegmentationParams
) -> tuple[dict[str, Lazy[Prediction]], pd.DataFrame]:
    """Promise the prediction of every test case by every network, as `method/engine_seed/case`.

    Predictions lie on the grid of the filled case; scoring drops the synthetic slices.

    Returns:
        The promises, and an index of them: `prediction`, `method`, `engine`, `seed`, `case`.
    """
    promises, rows = {}, []
    for method, network in _networks(models, scans, params):
        own, read = scans[method], models[f"{method}/{network}"]
        predictor = cache(partial(_load, own.engine, read, params))  # loaded when it is needed
        trained = read()["fingerprint"]
        for case, scan in own.test.items():
            name = f"{method}/{network}/{case}"
            mark = fingerprint(trained, scan.fingerprint, params.inference)
            make = partial(_predict, predictor, scan, own.grids[case], params)
            promises[name] = Lazy(make, mark)
            seed = network.rpartition("_")[2]
            rows.append((name, method, own.engine, int(seed), case))
    index = pd.DataFrame(rows, columns=["prediction", "method", "engine", "seed", "case"])
    return promises, index


def _networks(
    models: Models, scans: dict[str, ScanSet], params: SegmentationParams
) -> list[tuple[str, str]]:
    """Method and network (`engine_seed`) of every training that did not fail."""
    wanted = [(name, f"{own.engine}_{s}") for name, own in scans.items() for s in params.seeds]
    return [(method, network) for method, network in wanted if f"{method}/{network}" in models]


def _load(engine: str, read: Callable[[], Checkpoint], params: SegmentationParams) -> "Predictor":
    from slicefill.segmentation.engines import find_engine

    return find_engine(engine).load(read(), params)


def _predict(
    predictor: "Callable[[], Predictor]",
    scan: ScanPromise,
    grid: Promise,
    params: SegmentationParams,
) -> Prediction:
    from slicefill.segmentation.prediction import make_prediction

    return make_prediction(predictor(), scan.make(), grid.make(), params)


def score_predictions(
    predictions: dict[str, Lazy[Prediction]],
    prediction_index: pd.DataFrame,
    thick_cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: ScoringParams,
) -> pd.DataFrame:
    """Score every prediction on the acquired slices of its case.

    Returns:
        One row per prediction: `prediction`, `method`, `engine`, `seed`, `case`, `person` and
        the scores. Predictions that failed, and cases without labels, have none.
    """
    from tqdm.auto import tqdm

    from slicefill.segmentation.prediction import score_prediction

    person = dict(zip(splits["case"], splits["person"], strict=True))
    rows: dict[Any, dict[Any, Any]] = {}
    for case, own in tqdm(prediction_index.groupby("case"), desc="score", unit="case"):
        truth = thick_cases[str(case)].make().label
        for at, row in own.to_dict("index").items():
            if truth is not None and row["prediction"] in predictions:
                scores = score_prediction(predictions[row["prediction"]].make(), truth, params)
                rows[at] = row | {"person": person[case]} | scores
    if not rows:
        msg = "no test case could be scored: expected label maps of test cases and predictions"
        raise ValueError(msg)
    return pd.DataFrame([rows[at] for at in sorted(rows)])
