"""Segmentation nodes: train networks, predict test cases, score acquired slices."""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import StateFiles
from slicefill.execution.each import prepared
from slicefill.fingerprint import fingerprint
from slicefill.params import AugmentationParams, ExecutorParams, ScoringParams, SegmentationParams
from slicefill.segmentation.scans import ScanPromise, ScanSet
from slicefill.types import Checkpoint, Lazy, ModelPromise, Models, Prediction, Promise

if TYPE_CHECKING:
    from slicefill.plugins import System
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting


def train_segmenters(
    scans: dict[str, ScanSet],
    states: StateFiles,
    params: SegmentationParams,
    augmentation: AugmentationParams,
) -> dict[str, ModelPromise]:
    """Promise one network per method and seed, as `method/engine_seed`."""
    from slicefill.segmentation.engines import find_engine
    from slicefill.segmentation.interface import SegmentationData, Setting

    classes = tuple(sorted(params.label_names))
    promises = {}
    for method, own in scans.items():
        data = SegmentationData(own.training, own.validation, classes)
        varied = (
            augmentation if own.transforms else augmentation.model_copy(update={"transforms": []})
        )
        engine = find_engine(own.engine, params)
        for seed in own.seeds or params.seeds:
            setting = Setting(params, varied, seed)
            name = f"{method}/{own.engine}_{seed}"
            promises[name] = ModelPromise(
                partial(_train, name, engine, data, setting, states),
                engine.module.training_fingerprint(data, engine.params, setting),
            )
    return promises


def _train(
    name: str, engine: "System", data: "SegmentationData", setting: "Setting", states: StateFiles
) -> Checkpoint:
    from slicefill.training.fit import Run

    method, _, member = name.partition("/")
    with tracking.child_run(method):
        shared = setting.params.model_dump(exclude={"engines"})
        own = {"kind": engine.kind, **engine.params.model_dump()}
        tracking.log_params({"engine": engine.name, "segmentation": {**shared, "engine": own}})
        run = Run(states[name], tracking.reporter(f"{member}/"))
        made = engine.module.train(data, engine.params, setting, run)
        # With these it predicts without `conf/`: `slicefill segment`.
        seen = setting.augmentation.model_dump(include={"window", "through_plane"})
        return {**made, **seen, "label_names": setting.params.label_names}


def record_learning(
    models: Models, scans: dict[str, ScanSet], params: SegmentationParams
) -> pd.DataFrame:
    """Learning curves: `method`, `network`, `epoch`, `term`, `value`."""
    histories = [pd.DataFrame(columns=["method", "network", "epoch", "term", "value"])]
    for method, network in _networks(models, scans, params):
        history = pd.DataFrame(models[f"{method}/{network}"]()["history"])
        history.insert(0, "method", scans[method].row or method)
        history.insert(1, "network", network)
        histories.append(history)
    return pd.concat(histories[1:] or histories, ignore_index=True)


def predict_cases(
    models: Models, scans: dict[str, ScanSet], splits: pd.DataFrame, params: SegmentationParams
) -> tuple[dict[str, Lazy[Prediction]], pd.DataFrame]:
    """Promise the prediction of every test case by every network, as `method/engine_seed/case`.

    Predictions lie on the grid of the imputed case; scoring drops the synthetic slices.

    Returns:
        The promises, and an index of them: `prediction`, `method`, `engine`, `seed`, `case`,
        `subject`.
    """
    from slicefill.segmentation.engines import find_engine

    subject = dict(zip(splits["case"], splits["subject"], strict=True))
    promises, rows = {}, []
    for method, network in _networks(models, scans, params):
        own, read = scans[method], models[f"{method}/{network}"]
        trained = read()["fingerprint"]
        engine = find_engine(own.engine, params)
        predictor = Lazy(partial(_load, engine, read, params), fingerprint(trained, params))
        for case, scan in own.test.items():
            name = f"{method}/{network}/{case}"
            mark = fingerprint(trained, scan.fingerprint, params.inference)
            make = partial(_predict, predictor, scan, own.grids[case], params)
            promises[name] = Lazy(make, mark)
            seed = network.rpartition("_")[2]
            row = own.row or method
            rows.append((name, row, own.engine, int(seed), case, subject[case]))
    columns = ["prediction", "method", "engine", "seed", "case", "subject"]
    return promises, pd.DataFrame(rows, columns=columns)


def _networks(
    models: Models, scans: dict[str, ScanSet], params: SegmentationParams
) -> list[tuple[str, str]]:
    """Method and network (`engine_seed`) of every training that did not fail."""
    wanted = [
        (name, f"{own.engine}_{seed}")
        for name, own in scans.items()
        for seed in own.seeds or params.seeds
    ]
    return [(method, network) for method, network in wanted if f"{method}/{network}" in models]


def _load(
    engine: "System", read: Callable[[], Checkpoint], params: SegmentationParams
) -> "Predictor":
    """Make a trained network ready, in whichever process predicts."""
    from slicefill.segmentation.prediction import make_predictor

    return make_predictor(engine, read(), params)


def _predict(
    predictor: "Lazy[Predictor]",
    scan: ScanPromise,
    grid: Promise,
    params: SegmentationParams,
) -> Prediction:
    from slicefill.segmentation.prediction import make_prediction

    return make_prediction(prepared(predictor), scan.make(), grid.make(), params)


def score_predictions(
    predictions: dict[str, Lazy[Prediction]],
    prediction_index: pd.DataFrame,
    acquired_cases: dict[str, Promise],
    params: ScoringParams,
    executor: ExecutorParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every prediction on the acquired slices of its case.

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
        row["prediction"]: (predictions[row["prediction"]], acquired_cases[row["case"]])
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
    params: ScoringParams, _: str, pair: tuple[Lazy[Prediction], Promise]
) -> dict[str, float]:
    """Scores of a prediction; none where the truth is unknown."""
    from slicefill.segmentation.prediction import score_prediction

    prediction, truth = pair[0], prepared(pair[1]).label
    return {} if truth is None else score_prediction(prediction.make(), truth, params)


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
