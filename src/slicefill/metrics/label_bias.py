"""Is the error of synthetic labels consistent? Balance of false voxels, and signed distances.

What networks learn from labels with errors depends on the bias, more than on the overlap
(Vorontsov and Kadoury, 2021). `volume_bias` and `dice` are in `metrics.overlap`.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics.overlap import MaskPair, dice, volume_difference
from slicefill.types import Array

AXES = ("slices", "rows", "columns")
BIASES = (
    "dice",
    "volume_bias",
    "error_balance",
    "signed_distance",
    *(f"signed_distance_{axis}" for axis in AXES),
)
"""What `measure_bias` finds of a label."""
_NAN = float("nan")


def measure_bias(pair: MaskPair) -> dict[str, float]:
    """Measure overlap and bias of a label on the slices that are judged, as `BIASES`.

    Dice; volume bias (a fraction); error balance; signed surface distance (mm) of all surface and
    of that whose normal lies nearest to each axis. nan where nothing can be measured.
    """
    found = signed_distances(pair)
    return {
        "dice": dice(*pair.slices),
        "volume_bias": volume_difference(*pair.slices),
        "error_balance": error_balance(*pair.slices),
        **{name: found[name] for name in BIASES if name in found},
    }


def error_balance(prediction: Array, truth: Array) -> float:
    """(FP - FN) / (FP + FN), in [-1, 1]: 0 is unbiased, 1 adds only, -1 leaves out only.

    nan where there is no error.

    Example:
        >>> error_balance(np.array([True, True, True, False]), np.array([False, False, True, True]))
        0.3333333333333333
    """
    added, lost = (int((one & ~other).sum()) for one, other in _both_ways(prediction, truth))
    return (added - lost) / (added + lost) if added + lost else _NAN


def signed_distances(pair: MaskPair) -> dict[str, float]:
    """Mean signed distance of the surfaces, mm: above 0 the prediction lies outside the truth.

    Both surfaces are pooled, as in the ASSD; surface voxels are those that a face-neighbour erosion
    removes, of the slices that are judged. Where a label is cut off by the border of the volume it
    has no surface. Where nothing but slices apart is judged, distances are still in three
    dimensions.

    Returns:
        `signed_distance`, and `signed_distance_<axis>` of the surface whose normal lies nearest to
        `slices`, `rows` or `columns`; nan where there is none.
    """
    if not all(_surface(mask).any() for mask in (pair.prediction, pair.truth)):
        return dict.fromkeys(("signed_distance", *(f"signed_distance_{a}" for a in AXES)), _NAN)
    judged = np.broadcast_to(pair.judged[:, None, None], pair.truth.shape)
    signed, facing = [], []
    for one, other, sign in ((pair.prediction, pair.truth, 1), (pair.truth, pair.prediction, -1)):
        there = _surface(one) & judged
        signed.append(_distance_outside(other, pair.spacing)[there] * sign)
        facing.append(_facing(one, pair.spacing)[:, there].argmax(axis=0))
    distances, axes = np.concatenate(signed), np.concatenate(facing)
    by_axis = {f"signed_distance_{a}": _mean(distances[axes == n]) for n, a in enumerate(AXES)}
    return {"signed_distance": _mean(distances), **by_axis}


def audit_labels(labels: Mapping[str, MaskPair]) -> list[dict[str, object]]:
    """Measure every label of a case: a row per label, `label` and `BIASES`."""
    return [{"label": name, **measure_bias(pair)} for name, pair in labels.items()]


def _both_ways(one: Array, other: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    return (one, other), (other, one)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_erosion

    surface: NDArray[np.bool_] = mask & ~binary_erosion(mask, border_value=1)
    return surface


def _distance_outside(mask: NDArray[np.bool_], spacing: Array) -> NDArray[np.float64]:
    """Distance to the surface of a mask, mm; negative inside."""
    from scipy.ndimage import distance_transform_edt

    away = np.asarray(distance_transform_edt(~_surface(mask), spacing), np.float64)
    return np.where(mask, -away, away)


def _facing(mask: NDArray[np.bool_], spacing: Array) -> NDArray[np.float64]:
    """How much surface nearby faces each axis, `(3, D, H, W)`.

    By the area of the faces of voxels: unlike a gradient, it does not cancel in a thin sheet.
    """
    from scipy.ndimage import gaussian_filter

    widths = float(spacing.max()) / spacing
    areas = [gaussian_filter(_faces(mask, n), widths) / pitch for n, pitch in enumerate(spacing)]
    return np.stack(areas)


def _faces(mask: NDArray[np.bool_], axis: int) -> NDArray[np.float32]:
    """Count the faces of voxels across an axis where a mask ends, 0 to 2."""
    ends = np.diff(mask, axis=axis).astype(np.float32)
    before, after = ([side if n == axis else (0, 0) for n in range(3)] for side in ((1, 0), (0, 1)))
    return np.pad(ends, before) + np.pad(ends, after)


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else _NAN
