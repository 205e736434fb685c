"""Which slices of a label map are annotated."""

from collections.abc import Sequence

import numpy as np

from slicefill.geometry import AxisName, slices_first, through_plane_axis
from slicefill.ingestion.checks import BadCase
from slicefill.types import Array, Volume

_SHOWN = 8  # slices that a message names


def annotated_axis(label: Volume, name: AxisName) -> int:
    """Find the array axis across the annotated slices.

    Args:
        label: `(I, J, K)`; 0 is background.
        name: The axis; `auto` takes the one along which most of the slices that show a label lie
            alone, between two blank ones; of several, that along which the smallest share of slices
            between the first and the last shows one; else the axis of the largest spacing.

    Returns:
        0, 1 or 2.
    """
    usual = through_plane_axis(label.affine, name)
    if name != "auto":
        return usual
    found = [_sparsity(labelled_slices(slices_first(label.stored, axis))) for axis in range(3)]
    return usual if found[usual] == max(found) else found.index(max(found))


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
    if every is not None:
        if every < 1:
            msg = f"every: expected 1 or more, got {every}"
            raise ValueError(msg)
        chosen = list(range(0, len(slices), every))
    elif named is not None:
        chosen = sorted(set(named))
        _check_there(chosen, len(slices))
    _check_enough(chosen, labelled)
    if others := sorted(set(labelled) - set(chosen)):
        raise BadCase(
            expected=f"labels on the annotated slices alone ({_listed(chosen)})",
            found=f"labels on {len(others)} others ({_listed(others)})",
            remedy="name them, too (--annotated, --every), or name none: slices that show a "
            "label then count as annotated; if the annotated slices lie across another axis, "
            "name it: --axis",
        )
    return chosen


def _check_there(chosen: Sequence[int], depth: int) -> None:
    if absent := [index for index in chosen if not 0 <= index < depth]:
        raise BadCase(
            expected=f"annotated slices from 0 to {depth - 1}",
            found=_listed(absent),
            remedy="count slices from 0, along the axis across them (--axis)",
        )


def _check_enough(chosen: Sequence[int], labelled: Sequence[int]) -> None:
    if len(chosen) < 2:
        one = f"one, slice {chosen[0]}" if chosen else "none: the label map is blank"
        raise BadCase(
            expected="two annotated slices or more",
            found=one,
            remedy="annotate another slice; one that shows no label is annotated if it is named: "
            "--annotated 0,8",
        )
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


def _sparsity(labelled: Sequence[int]) -> tuple[float, float]:
    """Share of labelled slices without a labelled neighbour; share of blank ones among them."""
    if not labelled:
        return 0.0, 0.0
    there = set(labelled)
    alone = sum(not {index - 1, index + 1} & there for index in labelled)
    return alone / len(labelled), 1 - len(labelled) / (labelled[-1] - labelled[0] + 1)
