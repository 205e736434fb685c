"""The step between the slices of one DICOM volume: even, but for slices that may be absent."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.dicom_frames import Frame
from slicefill.ingestion.dicom_gaps import regular_places
from slicefill.params import IngestionParams
from slicefill.types import Array

SAME = 0.01
"""Of a pixel: frames nearer to each other than that lie at one position."""
_SHOWN = 3  # runs of equal steps that a message names
_APART = (
    "if these are several scans, copy the files of each into a folder outside of this one, and "
    "impute every such folder by itself"
)
_FILL = (
    ", or have them imputed: slicefill impute --fill-missing (in a Kedro run: --params "
    "ingestion.missing_slices=impute; in Python impute(…, fill_missing=True))"
)
_IN_ONE_FILE = "export the frames of every even part as a series of its own"


def even_step(
    frames: Sequence[Frame], normal: Array, params: IngestionParams
) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """Return the vector from one place to the next, `(3,)`, mm, and the place of every slice.

    Args:
        frames: One at every position, in the order of their positions along the normal.
        normal: Across the slices, `(3,)`.
        params: How far steps may differ, and whether slices may be absent: places are then those
            of `dicom_gaps.regular_places`, else 0, 1, 2, …

    Raises:
        BadCase: If slices are missing, lie at one position, or off a straight line.
    """
    positions = np.array([frame.position for frame in frames])
    steps = np.diff(positions @ normal)
    same = SAME * float(frames[0].spacing.min())
    if np.abs(steps).max() <= same:
        raise BadCase(
            expected="slices at several positions",
            found=f"{len(frames)} slices at one position",
            remedy="leave the case out: between pictures of one slice nothing is to be imputed",
        )
    if steps.min() <= same:
        _refuse_twins(frames, np.flatnonzero(steps <= same))
    typical = float(np.median(steps))
    places = np.arange(len(frames))
    if np.abs(steps - typical).max() > params.step_tolerance * typical:
        places = _uneven_places(frames, positions @ normal, params)
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / places[-1]
    line = positions[0] + step * places[:, None]
    sideways = float(np.linalg.norm(positions - line, axis=1).max())
    pixel = float(frames[0].spacing.min())
    length = float(np.linalg.norm(step))
    if sideways > params.step_tolerance * length + params.affine_tolerance * pixel:
        _refuse_bent(frames, positions, sideways)
    return step, places


def _uneven_places(
    frames: Sequence[Frame], along: NDArray[np.float64], params: IngestionParams
) -> NDArray[np.int_]:
    """Number slices at uneven steps on a regular grid, if that is asked for and there is one."""
    places = regular_places(along, params.step_tolerance)
    if places is None or params.missing_slices == "refuse":
        _refuse_uneven(frames, np.diff(along), params.step_tolerance, fillable=places is not None)
    return places


def _refuse_twins(frames: Sequence[Frame], twins: NDArray[np.intp]) -> NoReturn:
    first = int(twins[0])
    more = f", and {len(twins) - 1} more such pairs" if len(twins) > 1 else ""
    raise BadCase(
        expected="one slice at every position",
        found=f"{_name(frames, first)} and {_name(frames, first + 1)} at one position{more}",
        remedy=f"remove the one of them that does not belong there; or, {_advice(frames)}",
    )


def _refuse_uneven(
    frames: Sequence[Frame], steps: NDArray[np.float64], tolerance: float, *, fillable: bool
) -> NoReturn:
    runs = _runs(steps, tolerance)
    told = [
        f"{steps[start]:.4g} mm from {_name(frames, start)} to {_name(frames, end)}"
        for start, end in runs[:_SHOWN]
    ]
    more = f", and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    raise BadCase(
        expected=f"slices at even steps, within {tolerance:.2%}",
        found=f"steps from {steps.min():.4g} to {steps.max():.4g} mm: {', '.join(told)}{more}",
        remedy=f"add the missing slices{_FILL * fillable}; or, {_advice(frames)}; else resample "
        "the scan",
    )


def _refuse_bent(
    frames: Sequence[Frame], positions: NDArray[np.float64], sideways: float
) -> NoReturn:
    vectors = np.diff(positions, axis=0)
    odd = np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1)
    after = int(odd.argmax())
    raise BadCase(
        expected="slices on a straight line",
        found=f"one {sideways:.3g} mm off it, with a jump from {_name(frames, after)} to "
        f"{_name(frames, after + 1)}",
        remedy=f"{_advice(frames)}; else resample the scan",
    )


def _runs(steps: NDArray[np.float64], tolerance: float) -> list[tuple[int, int]]:
    """Divide the steps into runs of equal ones: of each, its first and its last slice."""
    starts = [0]
    for index in range(1, len(steps)):
        first = steps[starts[-1]]
        if abs(steps[index] - first) > tolerance * first:
            starts.append(index)
    return list(zip(starts, [*starts[1:], len(steps)], strict=True))


def _advice(frames: Sequence[Frame]) -> str:
    return _APART if frames[0].file != frames[-1].file else _IN_ONE_FILE


def _name(frames: Sequence[Frame], index: int) -> str:
    file = frames[index].file
    return f"frame {index + 1}" if _advice(frames) == _IN_ONE_FILE else file.name
