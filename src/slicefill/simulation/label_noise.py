"""Damage to labels: warp, shift, crop, shrink and grow, in 2D or 3D, and exchange among cases.

Vorontsov and Kadoury (2021): what an error of labels costs a network depends on whether it is
consistent. A warp is unbiased, a shift and a crop of always the same side are biased. Shrinking and
growing are ours: a bias of the volume, as large as is asked. Cropping at random draws edges as
U^(1/2.4): of a ball half is lost on average, of a disc in two dimensions 41 %.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slicefill.simulation.random_fields import spline_field
from slicefill.types import Array

Damage = Callable[[Array, Array, float, np.random.Generator], Array]
_EDGE_POWER = 1 / 2.4
_CONTROL_POINTS = 3
_ROUNDNESS = 1.5  # voxels: of the Gaussian that orders voxels from the surface on


def warp(label: Array, spacing: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Move a label along a cubic spline of 3 control points per axis; unbiased.

    Beyond its border the label goes on as at the border: one that touches it keeps its volume on
    average.

    Args:
        label: Ids, `(…, H, W)`, two or three axes; each is displaced.
        spacing: mm, one per axis.
        sigma: Standard deviation of the displacement of a control point, mm.
        rng: Source of the displacements.
    """
    from scipy.ndimage import map_coordinates

    nodes = [_CONTROL_POINTS] * label.ndim
    moved = np.indices(label.shape, dtype=np.float64)
    for axis, pitch in enumerate(spacing):
        moved[axis] += spline_field(rng.normal(0, sigma / pitch, nodes), label.shape)
    warped: Array = map_coordinates(label, moved, order=0, mode="nearest")
    return warped


def shift(label: Array, spacing: Array, distance: float, rng: np.random.Generator) -> Array:
    """Move the whole label along its last axis, always the same way; biased.

    Args:
        label: Ids, two or three axes.
        spacing: mm, one per axis.
        distance: mm, rounded to whole voxels.
        rng: Not used.
    """
    del rng
    by = round(distance / float(spacing[-1]))
    moved = np.zeros_like(label)
    if by < label.shape[-1]:
        moved[..., by:] = label[..., : label.shape[-1] - by]
    return moved


def crop_left(label: Array, spacing: Array, share: float, rng: np.random.Generator) -> Array:
    """Take the right half of every label away, in a share of the cases; the most biased crop."""
    del spacing
    if rng.random() >= share:
        return label
    cropped = label.copy()
    for identity in np.unique(label[label != 0]):
        mask = label == identity
        along = np.cumsum(mask.sum(axis=tuple(range(label.ndim - 1))))
        right = np.arange(label.shape[-1]) > np.searchsorted(along, along[-1] / 2)
        cropped[mask & right] = 0
    return cropped


def crop_random(label: Array, spacing: Array, share: float, rng: np.random.Generator) -> Array:
    """Keep what of every label lies in a random box, in a share of the cases.

    On average half of a ball in three dimensions, and 59 % of a disc in two.
    """
    del spacing
    if rng.random() >= share:
        return label
    cropped = label.copy()
    for identity in np.unique(label[label != 0]):
        mask = label == identity
        cropped[mask & ~_random_box(mask, rng)] = 0
    return cropped


def shrink(label: Array, spacing: Array, share: float, rng: np.random.Generator) -> Array:
    """Take a share of the volume away at the surface of the labelled object, corners first.

    Args:
        label: Ids, two or three axes; where two labels meet nothing is lost.
        spacing: Not used.
        share: Of the labelled voxels, at most 1; rounded to whole ones.
        rng: Not used.
    """
    del spacing, rng
    smaller: Array = label.copy()
    inside = np.flatnonzero(label)
    order = np.argsort(_nearness(label).ravel()[inside], kind="stable")
    smaller.ravel()[inside[order[: round(share * len(inside))]]] = 0
    return smaller


def grow(label: Array, spacing: Array, share: float, rng: np.random.Generator) -> Array:
    """Add a share of the volume at the surface of the labelled object, dents first.

    Args:
        label: Ids, two or three axes; voxels that are added get the nearest label.
        spacing: Not used.
        share: Of the labelled voxels; rounded to whole ones.
        rng: Not used.
    """
    from scipy.ndimage import distance_transform_edt

    del spacing, rng
    larger: Array = label.copy()
    count = np.count_nonzero(label)
    if not count:
        return larger
    outside = np.flatnonzero(label == 0)
    order = np.argsort(-_nearness(label).ravel()[outside], kind="stable")
    chosen = outside[order[: round(share * count)]]
    nearest = distance_transform_edt(label == 0, return_distances=False, return_indices=True)
    larger.ravel()[chosen] = label[tuple(nearest)].ravel()[chosen]
    return larger


def exchange(names: Sequence[str], share: float, rng: np.random.Generator) -> dict[str, str]:
    """Say whose label each case gets: a share of the cases exchange theirs, once and for all.

    Args:
        names: Of the cases.
        share: In [0, 1]; rounded to whole cases, but at least two where it is above 0. Of one case
            nothing is exchanged.
        rng: Source of the order.

    Example:
        >>> sorted(exchange(["a", "b", "c"], 1.0, np.random.default_rng(0)).items())
        [('a', 'b'), ('b', 'c'), ('c', 'a')]
    """
    count = max(2, round(share * len(names))) if share > 0 else 0
    chosen = [str(name) for name in rng.permutation(list(names))[:count]]
    whose = dict(zip(chosen, [*chosen[1:], *chosen[:1]], strict=True))
    return {name: whose.get(name, name) for name in names}


def fit_shape(label: Array, shape: Sequence[int]) -> Array:
    """Crop or pad a label of another case around its middle to a shape."""
    fitted = label
    for axis, size in enumerate(shape):
        missing = max(0, size - fitted.shape[axis])
        pad = [(0, 0)] * fitted.ndim
        pad[axis] = (missing // 2, missing - missing // 2)
        fitted = np.pad(fitted, pad)
        start = (fitted.shape[axis] - size) // 2
        fitted = fitted.take(range(start, start + size), axis)
    return fitted


def _nearness(label: Array) -> NDArray[np.float64]:
    """How much of its surroundings is labelled: at the surface half, less at corners."""
    from scipy.ndimage import gaussian_filter

    near: NDArray[np.float64] = gaussian_filter((label > 0).astype(np.float64), _ROUNDNESS)
    return near


def _random_box(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a box within the bounding box of a mask; edges are U^(1/2.4) of its edges."""
    inside = np.zeros_like(mask)
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        extent = len(range(places[0], places[-1] + 1))
        edge = rng.random() ** _EDGE_POWER * extent
        start = places[0] + rng.random() * (extent - edge)
        box.append(slice(round(start), round(start + edge)))
    inside[tuple(box)] = True
    return inside


DAMAGES: Mapping[str, Damage] = {
    "warp": warp,
    "shift": shift,
    "crop_left": crop_left,
    "crop_random": crop_random,
    "shrink": shrink,
    "grow": grow,
}
"""What is done to one label at a strength: mm, the share of the cases that are cropped, or of the
volume."""
EXCHANGE: Literal["permute"] = "permute"
"""The name of `exchange` among them; its strength is the share of the cases."""
