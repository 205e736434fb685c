"""What a DICOM file says of itself before its pixels are read, and whether it is a slice."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.raw_files import foreign_kind

_TAGS: list[Any] = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "PatientID", "InstanceNumber", "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel",
    "NumberOfFrames", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing",
    "EchoTime", "EchoNumbers", "DiffusionBValue", "TemporalPositionIdentifier", "TriggerTime",
    "NominalPercentageOfCardiacPhase", "AcquisitionNumber",
    0x0019100C, 0x00431039, 0x20011003,
]  # fmt: skip
_PRIVATE_B = (0x0019100C, 0x00431039, 0x20011003)  # b-values of Siemens, GE and Philips
_HUGE_B = 1e9  # GE adds this to the b-value
_FIRST_GROUPS = (b"\x08\x00", b"\x02\x00", b"\x00\x08", b"\x00\x02")


@dataclass(frozen=True)
class Header:
    """The header of one file.

    Attributes:
        path: The file.
        data: The elements in `_TAGS`.
    """

    path: Path
    data: pydicom.Dataset

    def text(self, keyword: str) -> str:
        """Value of an element as text; "" where it is empty or missing."""
        value = self.data.get(keyword)
        return "" if value is None else str(value)

    def number(self, keyword: str) -> float | None:
        """Value of an element as a number; None where there is none."""
        return _number(self.data.get(keyword))

    def numbers(self, keyword: str, count: int) -> NDArray[np.float64] | None:
        """Values of an element, `(count,)`; None where there are not so many numbers."""
        value = self.data.get(keyword)
        found = [_number(each) for each in value] if _is_list(value) else []
        if len(found) != count or None in found:
            return None
        return np.array(found, dtype=float)

    @property
    def kind(self) -> str:
        """Name of the SOP class, such as "CT Image Storage"; "" where it is missing."""
        uid = self.text("SOPClassUID") or self.data.file_meta.get("MediaStorageSOPClassUID", "")
        return pydicom.uid.UID(str(uid)).name

    @property
    def frames(self) -> int:
        """Number of frames; 1 where the element is empty or missing."""
        return int(self.number("NumberOfFrames") or 1)

    @property
    def b_value(self) -> float | None:
        """Diffusion weighting, s/mm²; from the vendors' own elements where the standard's lacks."""
        own = self.number("DiffusionBValue")
        for tag in _PRIVATE_B:
            if own is None and tag in self.data:
                value = self.data[tag].value
                own = _number(value[0] if _is_list(value) and len(value) else value)
        return own if own is None or own < _HUGE_B else own - _HUGE_B


def read_header(path: Path) -> Header | None:
    """Read the header of a DICOM file, with or without preamble; None for other files.

    Raises:
        BadCase: If it is DICOM, and damaged.
    """
    if not path.is_file() or foreign_kind(path):
        return None
    with _opened(path) as stream:
        begin = stream.read(132)
        marked = begin[128:] == b"DICM"
        if not (marked or begin[:2] in _FIRST_GROUPS):
            return None
        stream.seek(0)
        return _parse(path, stream, marked)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadCase(
            expected="a file that can be read",
            found=f"{type(error).__name__}: {error.strerror}",
            remedy="check its permissions",
            file=path,
        ) from error


def _parse(path: Path, stream: BinaryIO, marked: bool) -> Header | None:
    try:
        data = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_TAGS)
        data.get("SOPClassUID"), data.get("Rows")
    # Parsers read arbitrary bytes here; what they raise then is not part of their interface.
    except Exception as error:
        if not marked:
            return None
        raise BadCase(
            expected="a whole and readable DICOM file",
            found=f"{type(error).__name__}: {error}",
            remedy="copy or export the file again",
            file=path,
        ) from error
    if not (marked or "SOPClassUID" in data or "Rows" in data):
        return None
    header = Header(path, data)
    if "Rows" not in data and (header.kind == "" or "Image Storage" in header.kind):
        raise BadCase(
            expected="a whole and readable DICOM file",
            found="a header that ends before it says how large the image is",
            remedy="copy or export the file again",
            file=path,
        )
    return header


def why_no_slice(header: Header) -> str:
    """Say why a DICOM file is no part of a volume; "" if it is."""
    kinds = [str(kind).upper() for kind in header.data.get("ImageType") or []]
    name = header.kind
    placed = header.numbers("ImagePositionPatient", 3) is not None
    if "Rows" not in header.data or "Segmentation" in name or "Dose" in name:
        return f"a DICOM object that is no scan ({name})"
    if "MOSAIC" in kinds:
        return "a DICOM mosaic, all slices in one picture: convert the series with dcm2niix"
    if "LOCALIZER" in kinds:
        return "a DICOM localizer"
    if "SCREEN SAVE" in kinds or (not placed and "Secondary Capture" in name):
        return "a DICOM screenshot (secondary capture)"
    if not placed and header.number("SamplesPerPixel") == 3:
        return "a DICOM screenshot (colour, without a position)"
    return ""


def _number(value: Any) -> float | None:
    try:
        number = float(str(value).replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | pydicom.multival.MultiValue)
