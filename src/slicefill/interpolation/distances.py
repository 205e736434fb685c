"""Signed distances to the outlines of an object on two slices: shape-based interpolation."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from slicefill.types import Array, Floats


def distance_pair(first: Array, last: Array) -> tuple[Floats, Floats]:
    """Measure the signed distance to the outline on pairs of slices.

    Args:
        first: Masks of the first slices, `(B, H, W)`.
        last: Masks of the last slices.

    Returns:
        Distances in pixels, positive inside, ±0.5 on either side of the outline. A slice without
        an outline takes the opposite of the other's depth, so that an object that only one of
        the two shows ends half-way.

    Reference:
        Raya & Udupa, IEEE TMI 1990; the rule for slices without an outline is ours.
    """
    fields = _signed_distance(first), _signed_distance(last)
    _mirror_depth(first, last, fields)
    _mirror_depth(last, first, fields[::-1])
    return fields


def _signed_distance(masks: Array) -> Floats:
    """Distance of every pixel, `(B, H, W)`; ± the diagonal in slices without an outline."""
    diagonal = np.float32(np.hypot(*masks.shape[1:]))
    distance = np.where(masks, diagonal, -diagonal)
    for index in np.flatnonzero(~_uniform(masks)):
        inside = masks[index]
        distance[index] = distance_transform_edt(inside) - distance_transform_edt(~inside)
        distance[index] -= np.where(inside, 0.5, -0.5)  # the outline runs between pixels
    return np.asarray(distance, dtype=np.float32)


def _mirror_depth(masks: Array, others: Array, fields: tuple[Floats, Floats]) -> None:
    """Give slices of `masks` without an outline the depth of the other slice's object."""
    for index in np.flatnonzero(_uniform(masks) & ~_uniform(others)):
        inside = masks[index].all()
        depth = -fields[1][index].min() if inside else fields[1][index].max()
        fields[0][index] = depth if inside else -depth


def _uniform(masks: Array) -> Array:
    """Which slices lie wholly inside or wholly outside."""
    return np.asarray(masks.all(axis=(1, 2)) | ~masks.any(axis=(1, 2)))
