"""Label maps of which only every n-th slice is annotated: its blank slices are no background."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from slicefill.geometry import AxisName, slices_first, through_plane_axis
from slicefill.ingestion.checks import BadCase
from slicefill.types import Case, Volume

_RUNS = 3  # labelled runs of slices that make a pattern
_UNEVEN_RUNS = 4  # the same where the gaps differ by one slice


def check_annotation(label: Volume, name: AxisName, absent: Sequence[int] = ()) -> None:
    """Refuse a label map with blank slices between labelled ones in a regular pattern.

    Args:
        label: As stored, `(I, J, K)`; 0 is background.
        name: The through-plane axis.
        absent: Slices of a series that were not acquired (`Case.absent`): they are not looked at.

    Raises:
        BadCase: Says which slices are labelled.
    """
    axis = Case.ACROSS if absent else through_plane_axis(label.affine, name)
    slices = slices_first(label.stored, axis)
    shown = np.array([each.any() for each in slices])
    labelled = np.flatnonzero(shown)
    if is_sparse(np.flatnonzero(np.delete(shown, list(absent))).tolist()):
        first = ", ".join(map(str, labelled[:5]))
        raise BadCase(
            expected="a label map that is annotated on every slice between its first and its last",
            found=f"labels on slices {first}, … alone, {len(labelled)} of {len(slices)}, and blank "
            "slices between them",
            remedy="fill the blank slices first, by hand or by slicefill propagate; or impute "
            "without labels: --no-label (in a Kedro run: --params ingestion.labels.need=ignored); "
            "or, if they are truly empty, impute in a Kedro run: --params "
            "ingestion.labels.sparse=background",
        )


def is_sparse(labelled: list[int]) -> bool:
    """Whether the gaps between labelled slices are those of a pattern, not of an anatomy.

    Runs of labelled slices must be as long as each other, and no longer than the gaps between them,
    which must be equal; with four runs or more they may differ by one slice. At the ends a run may
    be shorter.

    Args:
        labelled: Indices of the slices with a label, rising.

    Example:
        >>> is_sparse([2, 4, 6, 8]), is_sparse([2, 3, 4, 8]), is_sparse([1, 2, 5, 6, 9])
        (True, False, True)
    """
    runs = np.split(labelled, np.flatnonzero(np.diff(labelled) > 1) + 1)
    gaps = [after[0] - before[-1] - 1 for before, after in pairwise(runs)]
    if len(runs) < _RUNS:
        return False
    lengths = [len(run) for run in runs]
    inner = set(lengths[1:-1])
    even = max(gaps) - min(gaps) <= (len(runs) >= _UNEVEN_RUNS)
    short = len(inner) == 1 and max(lengths) <= min(*inner, *gaps)
    return bool(even and short)
