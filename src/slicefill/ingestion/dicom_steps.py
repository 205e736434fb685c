"""The step between the slices of one DICOM volume, which must be the same from slice to slice."""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.dicom_frames import Frame
from slicefill.params import IngestionParams
from slicefill.types import Array

SAME = 0.01
"""Of a pixel: frames nearer to each other than that lie at one position."""
_SHOWN = 3  # runs of equal steps that a message names
_APART = (
    "if these are several scans, copy the files of each into a folder outside of this one, and "
    "impute every such folder by itself"
)
_IN_ONE_FILE = "export the frames of every even part as a series of its own"


def even_step(
    frames: Sequence[Frame], normal: Array, params: IngestionParams
) -> NDArray[np.float64]:
    """Return the vector from one slice to the next, `(3,)`, mm.

    Args:
        frames: One at every position, in the order of their positions along the normal.
        normal: Across the slices, `(3,)`.
        params: How far steps may differ.

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
    if np.abs(steps - typical).max() > params.step_tolerance * typical:
        _refuse_uneven(frames, steps, params.step_tolerance)
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(frames) - 1)
    line = positions[0] + step * np.arange(len(frames))[:, None]
    sideways = float(np.linalg.norm(positions - line, axis=1).max())
    pixel = float(frames[0].spacing.min())
    if sideways > params.step_tolerance * typical + params.affine_tolerance * pixel:
        _refuse_bent(frames, positions, sideways)
    return step


def _refuse_twins(frames: Sequence[Frame], twins: NDArray[np.intp]) -> NoReturn:
    first = int(twins[0])
    more = f", and {len(twins) - 1} more such pairs" if len(twins) > 1 else ""
    raise BadCase(
        expected="one slice at every position",
        found=f"{_name(frames, first)} and {_name(frames, first + 1)} at one position{more}",
        remedy=f"remove the one of them that does not belong there; or, {_advice(frames)}",
    )


def _refuse_uneven(
    frames: Sequence[Frame], steps: NDArray[np.float64], tolerance: float
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
        remedy=f"add the missing slices; or, {_advice(frames)}; else resample the scan",
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
