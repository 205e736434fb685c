"""One slice of a derived DICOM series: what it takes over from its source, and what is new."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from slicefill import __version__
from slicefill.types import Array

# fmt: off
_OF_THE_NEAREST = {  # of the two neighbours: a synthetic slice has to have them
    "ImageOrientationPatient", "PixelSpacing", "WindowCenter", "WindowWidth",
    "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence", "LossyImageCompression",
}
_UNTRUE = {  # of other numbers than those that are written
    "PixelData", "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries", "MACParametersSequence", "DigitalSignaturesSequence",
    "DataSetTrailingPadding",
}
# fmt: on


def acquired_slice(source: Dataset, replaced: bool = False) -> Dataset:
    """Copy what a source file says, without pixels, private tags and signatures.

    Args:
        source: The acquired slice.
        replaced: Whether the method gave it other numbers.
    """
    slice_ = _copy(source, lambda element: element)
    _refer(slice_, [source], preserved="YES")
    slice_.DerivationDescription = (
        "acquired slice, numbers replaced" if replaced else "acquired slice, numbers unchanged"
    )
    return slice_


def synthetic_slice(before: Dataset, after: Dataset, t: float) -> Dataset:
    """Make a slice between two, at `t` in (0, 1) of the way from `before` to `after`.

    It says what both say alike. What they disagree on, such as the time of acquisition, is left
    empty; window and orientation are those of the nearer one; overlays and icons are left out.
    Position and SliceLocation lie between theirs.
    """
    nearest, other = (before, after) if t <= 0.5 else (after, before)

    def agreed(element: DataElement) -> DataElement | None:
        if element.tag.group & 0xFF00 == 0x6000 or element.keyword == "IconImageSequence":
            return None
        theirs = other.get(element.tag)
        if element.keyword in _OF_THE_NEAREST or (theirs is not None and theirs == element):
            return element
        return DataElement(element.tag, element.VR, [] if element.VR == "SQ" else None)

    slice_ = _copy(nearest, agreed)
    _refer(slice_, [before, after], preserved="NO")
    slice_.DerivationCodeSequence = [_code(codes.DCM.SpatialResampling)]
    slice_.DerivationDescription = f"synthetic slice at {t:.4g} of the way between two acquired"
    ends = [np.asarray(each.ImagePositionPatient, dtype=float) for each in (before, after)]
    slice_.ImagePositionPatient = _decimals((1 - t) * ends[0] + t * ends[1])
    places = [each.get("SliceLocation") for each in (before, after)]
    if None not in places:
        slice_.SliceLocation = _decimals([(1 - t) * places[0] + t * places[1]])[0]
    return slice_


def complete(slice_: Dataset, stored: Array, series: Mapping[str, Any], number: int) -> bytes:
    """Give a slice its numbers and its identity, and return its file.

    Args:
        slice_: As `acquired_slice` or `synthetic_slice` made it; completed in place.
        stored: Stored numbers, `(rows, columns)`.
        series: Attributes that all slices of the series share, by keyword.
        number: InstanceNumber.
    """
    for keyword, value in series.items():
        setattr(slice_, keyword, value)
    kind = slice_.get("ImageType") or []
    slice_.ImageType = ["DERIVED", "SECONDARY", *list(kind)[2:]]
    slice_.SOPInstanceUID, slice_.InstanceNumber = generate_uid(), number
    now = datetime.now()
    slice_.InstanceCreationDate, slice_.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    slice_.ContributingEquipmentSequence = [
        *(slice_.get("ContributingEquipmentSequence") or []),
        _equipment(),
    ]
    slice_.BitsAllocated = 8 * stored.dtype.itemsize
    pixels = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    slice_.PixelData = pixels + b"\0" * (len(pixels) % 2)
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = BytesIO()
    slice_.save_as(content, enforce_file_format=True)
    return content.getvalue()


def fit_bits(stored: Array, source: Dataset) -> Array:
    """Clip numbers to those that BitsStored of the source holds."""
    bits, signed = int(source.BitsStored), int(source.PixelRepresentation)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return np.clip(stored, low, high)


def normal(source: Dataset) -> NDArray[np.float64]:
    """Return the unit vector across a slice, `(3,)`, LPS."""
    axes = np.reshape(np.asarray(source.ImageOrientationPatient, dtype=float), (2, 3))
    return np.asarray(np.cross(*axes), dtype=np.float64)


def _copy(source: Dataset, choose: Any) -> Dataset:
    copied = Dataset()
    for element in source:
        if element.tag.is_private or element.keyword in _UNTRUE or _is_length(element.tag):
            continue
        chosen = choose(element)
        if chosen is not None:
            copied.add(deepcopy(chosen))
    copied.remove_private_tags()  # those inside of sequences
    return copied


def _is_length(tag: BaseTag) -> bool:
    return tag.element == 0  # of a group: retired


def _refer(slice_: Dataset, sources: Sequence[Dataset], preserved: str) -> None:
    items = []
    for source in sources:
        item = Dataset()
        item.ReferencedSOPClassUID = source.SOPClassUID
        item.ReferencedSOPInstanceUID = source.SOPInstanceUID
        item.SpatialLocationsPreserved = preserved
        purpose = codes.DCM.SourceImageForImageProcessingOperation
        item.PurposeOfReferenceCodeSequence = [_code(purpose)]
        items.append(item)
    slice_.SourceImageSequence = items


def _equipment() -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code(codes.DCM.ModifyingEquipment)]
    item.Manufacturer = item.ManufacturerModelName = "Slicefill"
    item.SoftwareVersions = __version__
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _decimals(values: Any) -> list[DSfloat]:
    """Write numbers as decimal strings; the standard allows them 16 characters."""
    return [DSfloat(float(value), auto_format=True) for value in values]
