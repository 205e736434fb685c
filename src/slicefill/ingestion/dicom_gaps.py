"""Slices that a DICOM series lacks, and the regular grid on which those that are there lie."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array, Case, Volume

_PARTS = 8  # of the smallest step that a regular grid may have at the least
_WIDEST = 4.5  # typical steps: in a wider gap, nothing says what was there


def regular_places(along: NDArray[np.float64], tolerance: float) -> NDArray[np.int_] | None:
    """Number slices on the coarsest regular grid that has all of them.

    Args:
        along: Their positions across the slices, `(K,)`, rising, mm.
        tolerance: By how much a slice may lie off the grid, as a fraction of its step.

    Returns:
        Index of each on the grid, `(K,)`, from 0; None if there is none as coarse as an eighth of
        the smallest step, or a gap is wider than four typical steps.

    Example:
        >>> regular_places(np.array([0.0, 4, 8, 16]), 0.05).tolist()
        [0, 1, 2, 4]
        >>> regular_places(np.array([0.0, 2.5, 5, 10, 15]), 0.05).tolist()
        [0, 1, 2, 4, 6]
    """
    steps = np.diff(along)
    typical = float(np.median(steps))
    if steps.min() <= 0 or steps.max() > _WIDEST * typical:
        return None
    smallest = float(steps.min())
    for step in (typical, *(smallest / parts for parts in range(1, _PARTS + 1))):
        counts = np.maximum(np.rint(steps / step), 1).astype(int)
        places = np.concatenate([[0], np.cumsum(counts)])
        own = (along[-1] - along[0]) / places[-1]
        if np.abs(along - along[0] - own * places).max() <= tolerance * own:
            return places
    return None


def absent_slices(places: Array) -> list[int]:
    """List the slices of a grid that are not among `places`.

    Example:
        >>> absent_slices(np.array([0, 1, 4]))
        [2, 3]
    """
    return sorted(set(range(int(places[-1]) + 1)) - {int(place) for place in places})


def spread(stored: Array, places: Array) -> Array:
    """Put slices, along axis 2, at their places; absent ones hold zeros."""
    whole = np.zeros((*stored.shape[:2], int(places[-1]) + 1, *stored.shape[3:]), stored.dtype)
    whole[:, :, places] = stored
    return whole


def label_in_place(label: Volume, image: Volume, absent: Sequence[int]) -> Volume:
    """Put a label map that has the acquired slices alone onto the grid of a series that lacks some.

    Args:
        label: `(I, J, K)`. What has another shape, or runs the other way, is returned as it is; the
            distance of its slices says nothing.
        image: The series, absent slices too.
        absent: Their indices.
    """
    acquired = [k for k in range(image.stored.shape[Case.ACROSS]) if k not in absent]
    across = image.affine[:, Case.ACROSS]
    same_way = label.affine[:, Case.ACROSS] @ across > 0
    if not absent or label.stored.shape != (*image.stored.shape[:2], len(acquired)) or not same_way:
        return label
    target = label.affine.copy()
    target[:, Case.ACROSS] = across
    stored = spread(label.stored, np.array(acquired))
    return label.with_stored(stored, np.linalg.inv(label.affine) @ target)
