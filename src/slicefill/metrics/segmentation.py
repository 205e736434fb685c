"""Score predicted labels of one case against the true ones, on its acquired slices."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from slicefill.metrics.overlap import (
    SurfaceDistances,
    dice,
    surface_dice,
    surface_distances,
    volume_difference,
)
from slicefill.params import ScoringParams
from slicefill.types import Array

_Masks = Mapping[str, tuple[Array, Array]]
_DISTANCES = SurfaceDistances._fields
_PERFECT = {"dice": 1.0, "ravd": 0.0, "ravd_abs": 0.0, **dict.fromkeys(_DISTANCES, 0.0), "nsd": 1.0}


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
        params: Classes, tolerance, what to make of empty masks.

    Returns:
        Per class name: `dice_<name>` (eq. 15), `ravd_<name>` (eq. 16, signed fraction),
        `ravd_abs_<name>` (its magnitude, as the paper reports it), `assd_<name>` (eq. 17, mm),
        `mssd_<name>` (eq. 18, mm), `hd95_<name>` (mm), `nsd_<name>` (surface Dice at
        `params.tolerance`). `<metric>_mean` over the classes that have a value. `ml_<name>` and
        `ml_truth_<name>`: volumes. `both_empty`, `prediction_empty`, `truth_empty`: in how many
        classes that was so (the latter two: in that one alone).

    Raises:
        ValueError: If the shapes differ or are not three-dimensional.
    """
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
    there = bool(found.any()), bool(real.any())
    if not any(there) and params.both_empty == "perfect":
        return _PERFECT
    difference = volume_difference(found, real)
    scores = {"dice": dice(found, real), "ravd": difference, "ravd_abs": abs(difference)}
    scores |= surface_distances(found, real, spacing)._asdict()
    if any(there) and not all(there) and params.one_empty == "diagonal":
        scores |= dict.fromkeys(_DISTANCES, float(np.linalg.norm(found.shape * spacing)))
    return scores | {"nsd": surface_dice(found, real, spacing, params.tolerance)}


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
