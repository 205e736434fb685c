"""The slices in a DICOM file, one or many frames, with their geometry and stored numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.dicom_headers import Header
from slicefill.types import Array

_SHARED, _EACH = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_GROUPS = {  # keyword: the sequence that holds it in a file of many frames
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}
_APPLIED_BY_ITK = ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", _SHARED, _EACH)


@dataclass(frozen=True)
class Frame:
    """One slice.

    Attributes:
        stored: Numbers before slope and intercept, `(rows, columns)`.
        position: Of the first pixel's centre, `(3,)`, mm, LPS.
        orientation: Direction cosines of the rows and of the columns, `(6,)`.
        spacing: Between rows, between columns, mm.
        slope_intercept: From stored numbers to intensities.
        series: SeriesInstanceUID; "" where there is none.
        photometric: Whether high numbers are bright (MONOCHROME2) or dark (MONOCHROME1).
        file: Where it lies.
    """

    stored: Array
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]
    slope_intercept: tuple[float, float]
    series: str
    photometric: str
    file: Path


def read_dataset(path: Path, **options: Any) -> pydicom.Dataset:
    """Read a DICOM file, with or without preamble; it says how it is encoded.

    Args:
        path: The file.
        options: Of `pydicom.dcmread`.
    """
    data = pydicom.dcmread(path, force=True, **options)
    if "TransferSyntaxUID" not in data.file_meta:  # a file without preamble
        is_implicit, _ = data.original_encoding
        plain = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
        data.file_meta.TransferSyntaxUID = plain
    return data


def read_frames(path: Path) -> list[Frame]:
    """Read the slices in a file.

    Raises:
        BadCase: If an element that places a slice is missing, or the pixels cannot be decoded.
    """
    data = read_dataset(path)
    photometric = _photometric(data)
    samples = int(data.get("SamplesPerPixel") or 1)
    if samples > 1 or not photometric.startswith("MONOCHROME"):
        raise BadCase(
            expected="one intensity per voxel",
            found=f"colour ({photometric}, {samples} in each)",
            remedy="export grey values",
        )
    count = int(data.get("NumberOfFrames") or 1)
    if count > 1 and _EACH not in data:
        raise BadCase(
            expected="frames with a position each (enhanced DICOM)",
            found=f"{count} frames without",
            remedy="convert with dcm2niix, or export single frames",
        )
    stored = stored_pixels(data)
    return [_frame(data, index, stored[index], path) for index in range(count)]


def _photometric(data: pydicom.Dataset) -> str:
    return str(data.get("PhotometricInterpretation") or "MONOCHROME2")


def _frame(data: pydicom.Dataset, index: int, stored: Array, path: Path) -> Frame:
    scale = (1.0, 0.0)
    if "ModalityLUTSequence" in data:
        stored = apply_modality_lut(stored, data)
    else:
        slope = _numbers(data, index, "RescaleSlope", 1, np.ones(1))
        intercept = _numbers(data, index, "RescaleIntercept", 1, np.zeros(1))
        scale = float(slope[0]), float(intercept[0])
    if scale[0] == 0:
        raise BadCase(
            expected="a RescaleSlope that is not 0",
            found="0, which makes all voxels equal",
            remedy="export the series again, or set the element to its true value (dcmodify)",
        )
    return Frame(
        stored,
        _numbers(data, index, "ImagePositionPatient", 3),
        _numbers(data, index, "ImageOrientationPatient", 6),
        _numbers(data, index, "PixelSpacing", 2),
        scale,
        str(data.get("SeriesInstanceUID") or ""),
        _photometric(data),
        path,
    )


def _numbers(
    data: pydicom.Dataset,
    index: int,
    keyword: str,
    count: int,
    absent: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return an element of a frame: its own, that of all frames, or that of the file."""
    for place in _places(data, index, _GROUPS[keyword]):
        if place.get(keyword) is not None:
            header = Header(Path(), place)
            single = header.number(keyword) if count == 1 else None
            found = header.numbers(keyword, count) if single is None else np.array([single])
            if found is not None:
                return found
    if absent is not None:
        return absent
    raise BadCase(
        expected=f"a slice with position, orientation and spacing: {keyword} of {count} numbers",
        found=f"{data.get(keyword)!r}",
        remedy="export the series again with its geometry; without this slice it would have a gap",
    )


def _places(data: pydicom.Dataset, index: int, group: str) -> Iterator[Any]:
    for sequence, item in ((_EACH, index), (_SHARED, 0)):
        groups = data.get(sequence) or []
        if item < len(groups):
            yield from groups[item].get(group) or []
    yield data


def stored_pixels(data: pydicom.Dataset) -> Array:
    """Decode the pixels, `(frames, rows, columns)`, and keep the bits of each that are stored.

    Raises:
        BadCase: If they are compressed in a way that nothing here can decode.
    """
    try:
        stored = data.pixel_array
    except Exception:
        if not data.file_meta.TransferSyntaxUID.is_compressed:
            raise
        stored = _decode_by_itk(data)
    used, width = int(data.get("BitsStored") or 0), stored.dtype.itemsize * 8
    if stored.dtype.kind in "iu" and 0 < used < width:
        unused = stored.dtype.type(width - used)
        stored = (stored << unused) >> unused  # of signed numbers, the sign spreads
    return np.reshape(stored, (-1, int(data.Rows), int(data.Columns)))


def _decode_by_itk(data: pydicom.Dataset) -> Array:
    """Decode what pydicom has no decoder for, such as JPEG lossless, by GDCM's in SimpleITK."""
    plain = pydicom.Dataset()
    plain.update({each.tag: each for each in data if each.keyword not in _APPLIED_BY_ITK})
    plain.file_meta = data.file_meta
    with TemporaryDirectory(prefix="slicefill-dicom-") as folder:
        path = Path(folder, "compressed.dcm")
        plain.save_as(path, enforce_file_format=True)
        try:
            return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
        except RuntimeError as error:
            name = data.file_meta.TransferSyntaxUID.name
            raise BadCase(
                expected="pixels that pydicom or SimpleITK can decode",
                found=f"{name}, which neither can",
                remedy="decompress the series (gdcmconv --raw IN OUT), or convert with dcm2niix",
            ) from error
