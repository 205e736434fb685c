"""Which slices of a label map are annotated."""

import operator
from collections.abc import Sequence

import nibabel as nib
import numpy as np

from slicefill.geometry import AxisName, slices_first, through_plane_axis, world_axis
from slicefill.ingestion.checks import BadCase
from slicefill.types import Array, Volume

_SHOWN = 8  # slices that a message names
_MOST = 0.5  # more of the labelled slices than this share: most
_TIE = 0.01  # spacings within 1 % of each other count as equal
_COUNT = "slices that show a label then count as annotated"


def annotated_axis(
    label: Volume,
    name: AxisName,
    named: Sequence[int] | None = None,
    every: int | None = None,
) -> int:
    """Find the array axis across the annotated slices.

    Args:
        label: `(I, J, K)`; 0 is background.
        name: The axis; `auto` takes the one along which every slice that shows a label is a named
            one. Where none is named, it takes the axis of the largest spacing, unless most of its
            labelled slices touch each other and all of one other axis lie alone.
        named: Indices of the annotated slices.
        every: Slices 0, n, 2n, … are annotated.

    Returns:
        0, 1 or 2.

    Raises:
        BadCase: If several axes fit alike.
    """
    usual = through_plane_axis(label.affine, name)
    if name != "auto":
        return usual
    labelled = [labelled_slices(slices_first(label.stored, axis)) for axis in range(3)]
    depths = label.stored.shape
    if named is None and every is None:
        fitting = _axes_that_fit(labelled, usual, nib.affines.voxel_sizes(label.affine))
    else:
        known = [_told(depth, named, every) for depth in depths]
        fitting = [axis for axis in range(3) if set(labelled[axis]) <= set(known[axis])]
        fitting = [usual] if usual in fitting else fitting
    if len(fitting) > 1:
        names = " and ".join(world_axis(label.affine, axis) for axis in fitting)
        raise BadCase(
            expected="one axis across the annotated slices",
            found=f"slices along {names} that may be those",
            remedy="name the axis: --axis S, A or L",
        )
    return fitting[0] if fitting else usual


def _axes_that_fit(labelled: Sequence[Sequence[int]], usual: int, spacing: Array) -> list[int]:
    """List the axes along which blank slices look as if they were not annotated.

    Organs on the left and the right leave blank slices between them, too: an axis that is not the
    usual one needs labelled slices that all lie alone; or, of the same spacing, it is in doubt.
    """
    alone = [_share_alone(each) for each in labelled]
    alike = np.isclose(spacing, spacing[usual], rtol=_TIE)
    others = [axis for axis in range(3) if alone[axis] == 1 and axis != usual]
    if alone[usual] > _MOST:
        return [usual, *(axis for axis in others if alike[axis])]
    if others:
        return others
    blank = [len(each) > 0 and each[-1] - each[0] >= len(each) for each in labelled]
    return [axis for axis in range(3) if blank[axis] and alike[axis]] if blank[usual] else [usual]


def labelled_slices(slices: Array) -> list[int]:
    """List the slices of `(D, H, W)` that show a label."""
    return [int(index) for index in np.flatnonzero(slices.any(axis=(1, 2)))]


def annotated_slices(
    slices: Array, named: Sequence[int] | None = None, every: int | None = None
) -> list[int]:
    """List the annotated slices: those that are named, every n-th, or those that show a label.

    Args:
        slices: Label ids, `(D, H, W)`.
        named: Their indices, counted from 0; blank ones among them are annotated as empty.
        every: Slices 0, n, 2n, … are annotated.

    Returns:
        Two or more, rising.

    Raises:
        BadCase: If there are fewer, there is nothing between them, one is not there, or a slice
            shows a label though it is said not to be annotated.

    Example:
        >>> slices = np.zeros((9, 2, 2), int)
        >>> slices[[4, 8]] = 1
        >>> annotated_slices(slices), annotated_slices(slices, every=4)
        ([4, 8], [0, 4, 8])
    """
    labelled = labelled_slices(slices)
    chosen = labelled
    if named is not None or every is not None:
        chosen = _told(len(slices), named, every)
        _check_there(chosen, len(slices))
    _check_enough(chosen, labelled, every)
    if others := sorted(set(labelled) - set(chosen)):
        raise BadCase(
            expected=f"labels on the annotated slices alone ({_listed(chosen)})",
            found=f"labels on {len(others)} others ({_listed(others)})",
            remedy=f"name them, too (--annotated, --every), or name none: {_COUNT}; if the "
            "annotated slices lie across another axis, name it: --axis",
        )
    return chosen


def _told(depth: int, named: Sequence[int] | None, every: int | None) -> list[int]:
    """List the annotated slices that a caller names, as plain integers."""
    if every is not None:
        if every < 1:
            msg = f"every: expected 1 or more, got {every}"
            raise ValueError(msg)
        return list(range(0, depth, every))
    try:
        chosen = sorted({_index(each) for each in (() if named is None else named)})
    except TypeError as error:
        msg = f"annotated: expected indices of slices, as [0, 8], got {named!r}"
        raise TypeError(msg) from error
    if not chosen:
        raise BadCase(
            expected="annotated slices by their indices",
            found="an empty list",
            remedy=f"name two or more (--annotated 0,8), or none at all: {_COUNT}",
        )
    return chosen


def _index(number: int) -> int:
    if isinstance(number, bool):  # one of a mask of slices: not slice 0 or 1
        raise TypeError
    return operator.index(number)


def _check_there(chosen: Sequence[int], depth: int) -> None:
    if absent := [index for index in chosen if not 0 <= index < depth]:
        raise BadCase(
            expected=f"annotated slices from 0 to {depth - 1}",
            found=_listed(absent),
            remedy="count slices from 0, along the axis across them (--axis)",
        )


def _check_enough(chosen: Sequence[int], labelled: Sequence[int], every: int | None) -> None:
    if len(chosen) < 2:
        one = f"one, slice {chosen[0]}" if chosen else "none: the label map is blank"
        remedy = (
            "annotate another slice; one that shows no label is annotated if it is named: "
            "--annotated 0,8"
        )
        if every is not None:
            one += f", of every {every}"
            remedy = "name a smaller distance (--every), or leave it out: " + _COUNT
        raise BadCase(expected="two annotated slices or more", found=one, remedy=remedy)
    if not labelled:
        raise BadCase(
            expected="a label on one of the annotated slices",
            found="a blank label map",
            remedy="annotate a slice",
        )
    if len(chosen) == chosen[-1] - chosen[0] + 1:
        raise BadCase(
            expected="slices without annotation between annotated ones",
            found=f"every slice from {chosen[0]} to {chosen[-1]} annotated",
            remedy="nothing is to be done; if the slices lie along another axis, name it: --axis",
        )


def _listed(indices: Sequence[int]) -> str:
    more = ", …" if len(indices) > _SHOWN else ""
    return ", ".join(map(str, indices[:_SHOWN])) + more


def _share_alone(labelled: Sequence[int]) -> float:
    """Share of labelled slices without a labelled neighbour; 0 where there are not two."""
    there = set(labelled)
    alone = sum(not {index - 1, index + 1} & there for index in labelled)
    return alone / len(labelled) if len(labelled) > 1 else 0.0
