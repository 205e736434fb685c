"""Score predicted labels of one case against the true ones."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from slicefill.metrics import ALL_SLICES, list_prediction_metrics
from slicefill.metrics.overlap import MaskPair
from slicefill.params import ScoringParams
from slicefill.types import Array

_ON_SLICES = ("dice", "ravd", "ravd_abs")  # overlap and volume: not measured on surfaces
_ON_ALL_TOO = ("dice", "ravd")  # of these: also measured on slices that are not judged
_Masks = Mapping[str, tuple[Array, Array]]


def score_segmentation(
    prediction: Array,
    truth: Array,
    spacing: Array,
    params: ScoringParams,
    judged: Array | None = None,
) -> dict[str, float]:
    """Score every class of one case, in 3D.

    A class that truth and prediction both lack is nan (`both_empty: drop`) or right (`perfect`).
    One that only one of them has is Dice and NSD 0; its distances are nan (`one_empty: drop`) or
    the diagonal of the image in mm (`diagonal`); its RAVD is -1 where the prediction is empty and
    nan, as it is undefined, where the truth is. For overlap and volume what lies on judged slices
    decides, for surfaces what lies on any.

    Args:
        prediction: Label ids, `(D, H, W)`.
        truth: Same shape.
        spacing: Slice, row and column pitch, mm, `(3,)`.
        params: Classes, tolerance, policy for empty masks.
        judged: The slices that overlap and volume are measured on, bool, `(D,)`; None: all.
            Surfaces are measured in 3D on all of them.

    Returns:
        The metrics of predictions (those on request where `params.metrics` names them):
        `<metric>_<class>`, and `<metric>_mean` over the classes that have a value. Where not all
        slices are judged, also overlap and volume on all of them, as
        `<metric>_<class>_all_slices`. `ml_<class>` and `ml_truth_<class>`: volumes. `both_empty`,
        `prediction_empty`, `truth_empty`: in how many classes that was so on the judged slices (the
        latter two: in that one alone).

    Raises:
        ValueError: If the shapes differ or are not three-dimensional.
    """
    if prediction.shape != truth.shape or truth.ndim != 3:
        msg = (
            f"prediction is {prediction.shape}, truth is {truth.shape}, expected the same "
            "(D, H, W): take the slices of the prediction that the truth has"
        )
        raise ValueError(msg)
    masks = {
        name: (prediction == identity, truth == identity)
        for identity, name in params.label_names.items()
        if identity
    }
    everywhere = np.ones(len(truth), bool)
    judged = everywhere if judged is None else np.asarray(judged, bool)
    pairs = {
        name: MaskPair(*pair, spacing, judged, params.tolerance) for name, pair in masks.items()
    }
    scores = _columns({name: _measure(pair, params) for name, pair in pairs.items()})
    if not judged.all():
        whole = {name: replace(pair, judged=everywhere) for name, pair in pairs.items()}
        rows = {name: _measure(pair, params, _ON_ALL_TOO) for name, pair in whole.items()}
        scores |= {f"{column}{ALL_SLICES}": value for column, value in _columns(rows).items()}
    return scores | _volumes(masks, spacing) | _count_empty(pairs.values())


def _columns(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Name every value `<metric>_<class>`, and the mean over the classes that have one."""
    import pandas as pd

    table = pd.DataFrame(rows)
    table["mean"] = table.mean(axis=1)
    return {
        f"{metric}_{name}": float(value)
        for metric, row in table.iterrows()
        for name, value in row.items()
    }


def _measure(
    pair: MaskPair, params: ScoringParams, names: Collection[str] | None = None
) -> dict[str, float]:
    """Measure one class by all metrics of predictions that are asked for, or by some."""
    asked = list_prediction_metrics(params.metrics)
    metrics = [each for each in asked if names is None or each.name in names]
    scores = {metric.name: metric.measure(pair) for metric in metrics}
    there, judged = _there(pair.prediction, pair.truth), _there(*pair.slices)
    if params.both_empty == "perfect":
        scores |= {
            metric.name: float(metric.ideal)
            for metric in metrics
            if not any(judged if metric.name in _ON_SLICES else there)
        }
    if any(there) and not all(there) and params.one_empty == "diagonal":
        diagonal = float(np.linalg.norm(pair.truth.shape * pair.spacing))
        scores |= {metric.name: diagonal for metric in metrics if metric.unit == "mm"}
    return scores


def _there(prediction: Array, truth: Array) -> tuple[bool, bool]:
    return bool(prediction.any()), bool(truth.any())


def _volumes(masks: _Masks, spacing: Array) -> dict[str, float]:
    ml = float(np.prod(spacing)) / 1000
    volumes = {}
    for name, (found, real) in masks.items():
        volumes[f"ml_{name}"] = int(found.sum()) * ml
        volumes[f"ml_truth_{name}"] = int(real.sum()) * ml
    return volumes


def _count_empty(pairs: Iterable[MaskPair]) -> dict[str, float]:
    there = [_there(*pair.slices) for pair in pairs]
    return {
        "both_empty": float(there.count((False, False))),
        "prediction_empty": float(there.count((False, True))),
        "truth_empty": float(there.count((True, False))),
    }
