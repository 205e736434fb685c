"""Signed distances to the outlines of an object on the slices of a stack: shape-based labels."""

import numpy as np
from scipy.ndimage import uniform_filter

from slicefill.types import Array, Floats

_SMOOTH = 0.05  # weight of the neighbourhood that breaks ties


def signed_distances(masks: Array, far: float | None = None) -> Floats:
    """Measure the distance to the outline within every slice.

    Args:
        masks: `(D, H, W)`.
        far: Pixels, what stands for the distance in slices without an outline; None: the diagonal.

    Returns:
        Distances in pixels, positive inside, ±0.5 on either side of the outline; ± `far` in slices
        without an outline.
    """
    beyond = np.float32(np.hypot(*masks.shape[1:]) if far is None else far)
    distances = np.where(masks, beyond, -beyond)
    for index in np.flatnonzero(~_uniform(masks)):
        distances[index] = _to_outline(masks[index])
    return np.asarray(distances, dtype=np.float32)


def _to_outline(inside: Array) -> Array:
    """Signed distances of one slice that shows an outline, `(H, W)`."""
    distance = np.zeros(inside.shape)
    for mask, sign in ((inside, 1.0), (~inside, -1.0)):
        near = _around(mask)
        np.copyto(distance[near], sign * _to_others(mask[near]), where=mask[near])
    return distance


def _around(mask: Array) -> tuple[slice, slice]:
    """Box of a mask with a pixel around it: what is nearest to any of its pixels lies within."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)


def _to_others(mask: Array) -> Array:
    """Distance of the pixels of a mask to the outline, which runs between pixels."""
    import cv2

    found = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    whole = np.rint(np.square(found, dtype=np.float64))  # but for rounding
    return np.asarray(np.sqrt(whole, out=whole) - 0.5)


def across_intervals(masks: Array, distances: Floats) -> tuple[Floats, Floats]:
    """Pair the distances of neighbouring slices, to be interpolated across their interval.

    Args:
        masks: Of one object, `(D, H, W)`.
        distances: Their `signed_distances`.

    Returns:
        Distances of the first and of the last slice of every interval, `(D - 1, H, W)`. A slice
        without an outline takes the opposite of the other's depth, so that an object that only
        one of the two shows ends half-way.

    Reference:
        Raya & Udupa, IEEE TMI 1990; the rule for slices without an outline is ours.
    """
    first, last = distances[:-1].copy(), distances[1:].copy()
    _mirror_depth(masks[:-1], masks[1:], (first, last))
    _mirror_depth(masks[1:], masks[:-1], (last, first))
    return first, last


def break_ties(distances: Floats) -> Floats:
    """Mix in a little of the mean over 3 × 3 pixels: equal distances are common on a grid.

    Of pixels that are equally far from the outline, those come first around which more is inside.

    Args:
        distances: `(D, H, W)`, pixels.
    """
    around = uniform_filter(distances, (1, 3, 3), mode="nearest")
    return np.asarray((1 - _SMOOTH) * distances + _SMOOTH * around, dtype=np.float32)


def bends(masks: Array, distances: Floats) -> Floats:
    """Measure how outlines bend across slices: second differences of their distances.

    Args:
        masks: Of one object, `(D, H, W)`.
        distances: Their `signed_distances`.

    Returns:
        `(D, H, W)`, pixels; 0 at both ends, and where one of the three slices has no outline.

    Example:
        A bar that is 2, 4 and 4 pixels long bends where it stops growing:

        >>> masks = np.zeros((3, 1, 8), bool)
        >>> masks[0, 0, 3:5] = masks[1:, 0, 2:6] = True
        >>> bends(masks, signed_distances(masks))[1, 0].tolist()
        [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]
    """
    bent = np.zeros_like(distances)
    bent[1:-1] = distances[:-2] - 2 * distances[1:-1] + distances[2:]
    shown = ~_uniform(masks)
    bent[1:-1][~(shown[:-2] & shown[1:-1] & shown[2:])] = 0
    return bent


def _mirror_depth(masks: Array, others: Array, fields: tuple[Floats, Floats]) -> None:
    """Give slices of `masks` without an outline the depth of the other slice's object."""
    for index in np.flatnonzero(_uniform(masks) & ~_uniform(others)):
        inside = masks[index].all()
        depth = -fields[1][index].min() if inside else fields[1][index].max()
        fields[0][index] = depth if inside else -depth


def _uniform(masks: Array) -> Array:
    """Which slices lie wholly inside or wholly outside."""
    return np.asarray(masks.all(axis=(1, 2)) | ~masks.any(axis=(1, 2)))
