"""An imputed case as a derived DICOM series."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import DSfloat

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.dicom_frames import read_dataset, stored_pixels
from slicefill.ingestion.dicom_headers import Header
from slicefill.io.dicom_slice import (
    acquired_slice,
    complete,
    fit_bits,
    normal,
    synthetic_slice,
)
from slicefill.io.storage import replace_folder
from slicefill.types import Array, Case

_ACROSS = 2  # the array axis across the slices of a series
_NO_DICOM = "leave out --dicom: other formats hold what was imputed"
_LONGEST = 64  # characters of a DICOM description
_SERIES_STEP = 1000  # SeriesNumber of what is derived, above that of its source


def write_series(imputed: Case, sources: Sequence[Path], folder: Path) -> list[Path]:
    r"""Write an imputed case as a DICOM series that is derived from the series it came from.

    Study and frame of reference stay; series and slices get UIDs of their own; ImageType is
    `DERIVED\SECONDARY`. Every slice refers to its source, a synthetic one to both neighbours.
    Acquired slices keep their stored numbers, to the bit, and what their files say of them.
    Synthetic slices say what both neighbours say alike; their numbers are clipped to BitsStored.
    SliceThickness and SpacingBetweenSlices are those of the new grid. Nothing is added about the
    patient. Left out are private tags, because nobody but their vendor can say whether they hold
    for other slices, and digital signatures. Pixels are not compressed.

    Args:
        imputed: As `impute_case` returns it, of a case that `ingestion.dicom.read_series` read:
            array axes are columns, rows, slices.
        sources: The files of that series, in any order, one slice in each.
        folder: Replaced whole; files are named by InstanceNumber.

    Returns:
        The files, in the order of the slices of the array.

    Raises:
        BadCase: If the case was not imputed from this series, was imputed along another axis
            than across its slices, `folder` holds the sources, or `check_sources` refuses them.
    """
    _refuse_overwriting(sources, folder)
    slices = read_in_order(sources)
    _check_one_scale(slices, sources)
    grid = _check_grid(imputed, slices, folder)
    stored = imputed.image.stored
    series = _series(slices, grid, str(imputed.record.get("method", "")))
    numbers = _numbers(slices, stored.shape[2])
    make: dict[str, Callable[[], bytes]] = {}
    for index, number in enumerate(numbers):
        pixels = np.ascontiguousarray(stored[..., index].T)
        make[f"{number:04d}.dcm"] = partial(
            _slice_file, slices, grid.place(index), pixels, series, number
        )
    replace_folder(folder, make)
    return [folder / name for name in make]


def check_sources(sources: Sequence[Path]) -> None:
    """Refuse files that no series can be derived from; only headers are read.

    Raises:
        BadCase: If they are not single slices of one series, or their stored numbers do not mean
            the same in every slice.
    """
    _check_one_scale(read_in_order(sources, stop_before_pixels=True), sources)


def read_in_order(files: Sequence[Path], **options: Any) -> list[Dataset]:
    """Read the files of one series, in the order of their positions as `read_series` has it.

    Args:
        files: One slice in each.
        options: Of `pydicom.dcmread`.

    Raises:
        BadCase: If they are not single slices of one series.
    """
    slices = [read_dataset(path, **options) for path in files]
    series = {each.get("SeriesInstanceUID") for each in slices}
    if len(series) != 1 or any(_holds_frames(each) for each in slices):
        raise BadCase(
            expected="files of one series, a slice in each",
            found=f"{len(files)} files of {len(series)} series, or several slices in one",
            remedy="give the files of the series that was imputed; if a file holds many frames, "
            f"{_NO_DICOM}",
            file=files[0].parent if files else None,
        )
    across = normal(slices[0])
    places = [np.asarray(each.ImagePositionPatient, dtype=float) @ across for each in slices]
    return [slices[index] for index in np.argsort(places, kind="stable")]


def _holds_frames(slice_: Dataset) -> bool:
    several = int(slice_.get("NumberOfFrames") or 1) > 1
    return several or "PerFrameFunctionalGroupsSequence" in slice_


def _check_one_scale(slices: Sequence[Dataset], sources: Sequence[Path]) -> None:
    """Refuse slices whose numbers were changed to intensities when they were read."""
    headers = [Header(Path(), each) for each in slices]
    scales = {
        (each.number("RescaleSlope") or 1.0, each.number("RescaleIntercept") or 0.0)
        for each in headers
    }
    if any("ModalityLUTSequence" in each for each in slices):
        found = "a table (ModalityLUTSequence)"
    elif len(scales) > 1:
        found = f"{len(scales)} pairs of them"
    else:
        return
    raise BadCase(
        expected="one slope and intercept for all slices, to store new ones by",
        found=found,
        remedy=_NO_DICOM,
        file=sources[0].parent,
    )


def _refuse_overwriting(sources: Sequence[Path], folder: Path) -> None:
    inside = [path for path in sources if path.resolve().is_relative_to(folder.resolve())]
    if inside:
        raise BadCase(
            expected="a folder that does not hold the source files",
            found=f"{inside[0].name} in it",
            remedy="write to another folder",
            file=folder,
        )


def _check_grid(imputed: Case, slices: Sequence[Dataset], folder: Path) -> "_Grid":
    """Hold the case against its series, and say where its slices lie on the new grid."""
    step, axis = int(imputed.record.get("count", 0)) + 1, imputed.record.get("axis", _ACROSS)
    if step > 1 and axis != _ACROSS:
        raise BadCase(
            expected="slices imputed between those of the series",
            found=f"some along its {('columns', 'rows')[axis]}",
            remedy="set the axis (S, A or L) that lies across the slices",
            file=folder,
        )
    first, stored = slices[0], imputed.image.stored
    absent = imputed.record.get("source", {}).get("absent_slices", ())
    grid = _Grid.of(len(slices), absent, step)
    expected = (int(first.Columns), int(first.Rows), grid.acquired[-1] + 1)
    same = stored.shape == expected
    if same and imputed.record.get("acquired_slices") != "replaced":
        pairs = zip(grid.acquired, slices, strict=True)
        same = all(_same(stored[..., index].T, stored_pixels(source)[0]) for index, source in pairs)
    if not same:
        raise BadCase(
            expected=f"a case of shape {expected}, every acquired slice as in the source files",
            found=f"shape {stored.shape}, or other numbers",
            remedy="give the files of the series that was imputed",
            file=folder,
        )
    return grid


class _Grid(NamedTuple):
    """Index of every acquired slice on the new grid, rising."""

    acquired: tuple[int, ...]

    @classmethod
    def of(cls, sources: int, absent: Sequence[int], step: int) -> "_Grid":
        there = [k for k in range(sources + len(absent)) if k not in absent]
        return cls(tuple(k * step for k in there))

    def place(self, index: int) -> tuple[int, float]:
        """Acquired slice at or before a slice, and how far it lies on the way to the next."""
        before = bisect_right(self.acquired, index) - 1
        first = self.acquired[before]
        return before, (index - first) / (self.acquired[before + 1] - first) if index > first else 0


def _same(ours: Array, theirs: Array) -> bool:
    return ours.dtype.newbyteorder("=") == theirs.dtype.newbyteorder("=") and np.array_equal(
        ours, theirs
    )


def _series(slices: Sequence[Dataset], grid: _Grid, method: str) -> dict[str, Any]:
    """Attributes that all slices of the new series share."""
    first, last = slices[0], slices[-1]
    way = np.subtract(last.ImagePositionPatient, first.ImagePositionPatient, dtype=float)
    spacing = float(way @ normal(first)) / grid.acquired[-1]
    described = f"{first.get('SeriesDescription') or ''} imputed {method}".strip()
    millimetres = DSfloat(round(spacing, 6), auto_format=True)
    return {
        "SeriesInstanceUID": generate_uid(),
        "SeriesNumber": int(first.get("SeriesNumber") or 0) + _SERIES_STEP,
        "SeriesDescription": described[-_LONGEST:],
        "FrameOfReferenceUID": first.get("FrameOfReferenceUID") or generate_uid(),
        "SliceThickness": millimetres,
        "SpacingBetweenSlices": millimetres,
    }


def _numbers(slices: Sequence[Dataset], count: int) -> list[int]:
    """Instance numbers 1, 2, …, in the direction in which those of the sources rise."""
    first, last = (int(slices[end].get("InstanceNumber") or 0) for end in (0, -1))
    numbers = list(range(1, count + 1))
    return numbers[::-1] if first > last else numbers


def _slice_file(
    slices: Sequence[Dataset],
    place: tuple[int, float],
    pixels: Array,
    series: Mapping[str, Any],
    number: int,
) -> bytes:
    index, t = place
    source = slices[index]
    if t == 0:
        same = _same(pixels, stored_pixels(source)[0])
        made = acquired_slice(source, replaced=not same)
        return complete(made, pixels if same else fit_bits(pixels, source), series, number)
    made = synthetic_slice(source, slices[index + 1], t)
    return complete(made, fit_bits(pixels, source), series, number)
