"""Score predicted labels of one case against the true ones, on its acquired slices."""

from collections.abc import Mapping

import numpy as np

from slicefill.metrics import list_metrics
from slicefill.metrics.overlap import MaskPair
from slicefill.params import ScoringParams
from slicefill.types import Array

_Masks = Mapping[str, tuple[Array, Array]]


def score_segmentation(
    prediction: Array, truth: Array, spacing: Array, params: ScoringParams
) -> dict[str, float]:
    """Score every class of one case, in 3D.

    A class that truth and prediction both lack is nan throughout (`both_empty: drop`) or right
    (`perfect`). One that only one of them has is Dice and NSD 0; its distances are nan
    (`one_empty: drop`) or the diagonal of the image in mm (`diagonal`); its RAVD is -1 where the
    prediction is empty and nan, as it is undefined, where the truth is.

    Args:
        prediction: Label ids of the acquired slices, `(D, H, W)`.
        truth: Same shape.
        spacing: Slice, row and column pitch of the acquired slices, mm, `(3,)`.
        params: Classes, tolerance, policy for empty masks.

    Returns:
        The metrics of predictions: `<metric>_<class>`, and `<metric>_mean` over the classes that
        have a value. `ml_<class>` and `ml_truth_<class>`: volumes. `both_empty`,
        `prediction_empty`, `truth_empty`: in how many classes that was so (the latter two: in that
        one alone).

    Raises:
        ValueError: If the shapes differ or are not three-dimensional.
    """
    import pandas as pd

    if prediction.shape != truth.shape or truth.ndim != 3:
        msg = (
            f"prediction is {prediction.shape}, truth is {truth.shape}, expected the same "
            "(D, H, W): drop the synthetic slices of the prediction first"
        )
        raise ValueError(msg)
    masks = {
        name: (prediction == identity, truth == identity)
        for identity, name in params.label_names.items()
        if identity
    }
    table = pd.DataFrame({name: _measure(*pair, spacing, params) for name, pair in masks.items()})
    table["mean"] = table.mean(axis=1)  # of the classes that have a value
    scores = {
        f"{metric}_{name}": float(value)
        for metric, row in table.iterrows()
        for name, value in row.items()
    }
    return scores | _volumes(masks, spacing) | _count_empty(masks)


def _measure(found: Array, real: Array, spacing: Array, params: ScoringParams) -> dict[str, float]:
    """Measure one class by all metrics of predictions."""
    metrics = list_metrics("predictions")
    there = bool(found.any()), bool(real.any())
    if not any(there) and params.both_empty == "perfect":
        return {metric.name: float(metric.ideal) for metric in metrics}
    pair = MaskPair(found, real, spacing, np.ones(len(real), bool), params.tolerance)
    scores = {metric.name: metric.compute(pair) for metric in metrics}
    if any(there) and not all(there) and params.one_empty == "diagonal":
        diagonal = float(np.linalg.norm(found.shape * spacing))
        scores |= {metric.name: diagonal for metric in metrics if metric.unit == "mm"}
    return scores


def _volumes(masks: _Masks, spacing: Array) -> dict[str, float]:
    ml = float(np.prod(spacing)) / 1000
    volumes = {}
    for name, (found, real) in masks.items():
        volumes[f"ml_{name}"] = int(found.sum()) * ml
        volumes[f"ml_truth_{name}"] = int(real.sum()) * ml
    return volumes


def _count_empty(masks: _Masks) -> dict[str, float]:
    there = [(bool(found.any()), bool(real.any())) for found, real in masks.values()]
    return {
        "both_empty": float(there.count((False, False))),
        "prediction_empty": float(there.count((False, True))),
        "truth_empty": float(there.count((True, False))),
    }
