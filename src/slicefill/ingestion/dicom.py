"""One DICOM series, a file per slice or many frames in one, as one volume."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slicefill.ingestion.checks import BadCase, OneSlice, about, reading
from slicefill.ingestion.dicom_frames import Frame, read_frames
from slicefill.ingestion.dicom_gaps import spread
from slicefill.ingestion.dicom_sorting import sort_dicom
from slicefill.ingestion.dicom_steps import SAME, even_step
from slicefill.ingestion.itk import LPS_TO_RAS
from slicefill.ingestion.nifti import new_volume
from slicefill.params import IngestionParams
from slicefill.types import Array, Volume

_TOLERANCES = {"orientation": 1e-3, "spacing": 1e-3}  # the latter as a fraction of a pixel


def series_files(folder: Path) -> tuple[Path, ...]:
    """List the files of the only DICOM volume right inside a folder.

    Raises:
        BadCase: If there is none, or there are several.
    """
    found = sort_dicom(sorted(path for path in folder.iterdir() if path.is_file()), folder)
    if found.refused:
        raise found.refused[0]
    if len(found.cases) != 1:
        names = ", ".join(case.id for case in found.cases[:5])
        raise BadCase(
            expected="one DICOM volume in the folder",
            found=f"{len(found.cases)}{': ' if names else ''}{names}",
            remedy="use layout auto, which takes each of them, or name one file of the volume"
            if found.cases
            else "give the folder that holds DICOM slices",
        )
    (case,) = found.cases
    return case.image if isinstance(case.image, tuple) else (case.image,)


def read_series(files: Sequence[Path], params: IngestionParams) -> tuple[Volume, NDArray[np.int_]]:
    """Read a series; slices in the order of their positions, whatever the files are called.

    The slice step comes from ImagePositionPatient (C.7.6.2.1.1): SliceThickness and
    SpacingBetweenSlices say something else in many files. Only voxels, geometry and the
    rescale slope and intercept are taken over; nothing that identifies the patient is. Where
    slope or intercept differ between slices, as in PET, voxels are intensities in float32. A file
    that has several frames at every position gives channels, in the order of the frames.

    Returns:
        The volume, and the index of every slice in it: others are absent and hold zeros, if
        `params.missing_slices` lets them.

    Raises:
        BadCase: If the files are not one evenly spaced series of slices of one size.
    """
    frames = []
    for path in files:
        with about("", path), reading("DICOM file with position and orientation of every slice"):
            frames += read_frames(path)
    _check_one_series(frames)
    axes = np.reshape(frames[0].orientation, (2, 3))
    normal = np.cross(*axes)
    frames.sort(key=lambda frame: float(frame.position @ normal))
    count = _channels(frames, normal) if len(files) == 1 else 1
    step, places = even_step(frames[::count], normal, params)
    affine = np.eye(4)
    affine[:3, 0] = axes[0] * frames[0].spacing[1]  # [1]: between columns
    affine[:3, 1] = axes[1] * frames[0].spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = frames[0].position
    stored, scale = _stack(frames)
    if count > 1:
        stored = stored.reshape(*stored.shape[:2], -1, count)
    stored = spread(stored, places) if len(places) <= places[-1] else stored
    return new_volume(stored, LPS_TO_RAS @ affine, scale), places


def _channels(frames: Sequence[Frame], normal: Array) -> int:
    """Count the frames at every position, if there are equally many; frames by position."""
    along = np.array([frame.position @ normal for frame in frames])
    starts = np.flatnonzero(np.diff(along, prepend=-np.inf) > SAME * frames[0].spacing.min())
    counts = set(np.diff(starts, append=len(frames)).tolist())
    return int(counts.pop()) if len(counts) == 1 and len(starts) > 1 else 1


def _stack(frames: Sequence[Frame]) -> tuple[Array, tuple[float, float]]:
    """Join the slices `(columns, rows, slices)`; with the scale that all of them share."""
    scales = {frame.slope_intercept for frame in frames}
    if len(scales) == 1:
        return np.stack([frame.stored.T for frame in frames], axis=-1), scales.pop()
    intensities = [
        (frame.stored.T * frame.slope_intercept[0] + frame.slope_intercept[1]).astype(np.float32)
        for frame in frames
    ]
    return np.stack(intensities, axis=-1), (1.0, 0.0)


def _check_one_series(frames: Sequence[Frame]) -> None:
    if len(frames) < 2:
        raise OneSlice(
            expected="2 slices or more", found=f"{len(frames)}", remedy="leave the case out"
        )
    for name in ("series", "size", "type", "photometric interpretation"):
        found = [_property(frame, name) for frame in frames]
        counts = Counter(found)
        if len(counts) > 1:
            rare = frames[found.index(min(counts, key=lambda each: counts[each]))]
            _refuse_mixture(name, f"{len(counts)} different ones", rare.file)
    for name, tolerance in _TOLERANCES.items():
        values = np.array([getattr(frame, name) for frame in frames])
        allowed = tolerance * (values.min() if name == "spacing" else 1)
        spread = np.ptp(values, axis=0).max()
        if spread > allowed:
            far = np.abs(values - np.median(values, axis=0)).max(axis=1)
            _refuse_mixture(name, f"values up to {spread:g} apart", frames[int(far.argmax())].file)


def _property(frame: Frame, name: str) -> object:
    return {
        "series": frame.series,
        "size": frame.stored.shape,
        "type": frame.stored.dtype,
        "photometric interpretation": frame.photometric,
    }[name]


def _refuse_mixture(name: str, found: str, file: Path) -> None:
    raise BadCase(
        expected=f"one series, the {name} the same in every slice",
        found=found,
        remedy="if they are at an end, leave out the slices that differ, such as this one; else "
        "export the series again",
        file=file,
    )
