"""A case on disk: image.nii.gz, label.nii.gz, further maps and record.json in one folder.

A predicted segmentation is laid out alike: prediction.nii.gz, perhaps softmax.nii.gz and
confidence.nii.gz, and record.json.
"""

import gzip
import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import nibabel as nib
import numpy as np
from isal.igzip import IGzipFile

from slicefill.io.storage import Location, read_file, replace_file, replace_folder
from slicefill.types import Case, Prediction, Volume

RECORD = "record.json"
LEFT_OVER = "LEFT_OVER.txt"
"""Marks a case that the last run did not make: an earlier one did."""
_SUFFIX = ".nii.gz"
_GZIP = b"\x1f\x8b"  # how such a file begins
_COMPRESSION = 2  # ISA-L's: a fifth of the time of zlib's fastest level, and smaller files


def write_case(case: Case, folder: Location) -> None:
    """Write a case so that it appears whole or not at all.

    Stored numbers, slope, intercept and geometry are written as they are: nothing is rescaled.
    The record is written last: a folder without one is no case. On a disk, a folder of that name
    is replaced only once the new one is complete.
    """
    volumes = {"image": case.image, "label": case.label, **case.maps}
    _write_folder(volumes, case.record, folder)


def write_prediction(prediction: Prediction, folder: Location) -> None:
    """Write prediction.nii.gz, softmax and confidence if there are any, and record.json.

    As `write_case`.
    """
    volumes = {
        "prediction": prediction.label,
        "softmax": prediction.softmax,
        "confidence": prediction.confidence,
    }
    _write_folder(volumes, prediction.record, folder)


def read_case(folder: Location) -> Case:
    """Read a case folder; every file in full.

    Raises:
        FileNotFoundError: If the folder holds no image.
    """
    volumes = _read_volumes(folder, "image")
    image, label = volumes.pop("image"), volumes.pop("label", None)
    return Case(image, label, maps=volumes, record=read_record(folder))


def read_prediction(folder: Location) -> Prediction:
    """Read a folder that `write_prediction` wrote; every file in full.

    Raises:
        FileNotFoundError: If the folder holds no prediction.
    """
    volumes = _read_volumes(folder, "prediction")
    return Prediction(
        volumes["prediction"],
        volumes.get("softmax"),
        read_record(folder),
        volumes.get("confidence"),
    )


def write_volume(volume: Volume, path: Location) -> None:
    """Write a NIfTI file as stored, whole or not at all; folders are made as needed."""
    replace_file(path, encode_volume(volume))


def encode_volume(volume: Volume, *, compressed: bool = True) -> bytes:
    """Return the bytes of a NIfTI file that holds a volume as stored."""
    is_nifti2 = isinstance(volume.header, nib.Nifti2Header)
    image_class: Any = nib.Nifti2Image if is_nifti2 else nib.Nifti1Image
    image = image_class(volume.stored, None, volume.header, dtype=volume.stored.dtype)
    image.header.set_slope_inter(*volume.slope_intercept)  # nibabel clears it for new images
    content = io.BytesIO()
    if compressed:
        compressor: Any = IGzipFile  # its constructor has no types
        with compressor("", "wb", _COMPRESSION, content, mtime=0) as stream:
            image.to_stream(stream)
    else:
        image.to_stream(content)
    return content.getvalue()


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON file that says how a case came about."""
    text = json.dumps(dict(record), indent=1, sort_keys=True, default=_plain)
    return f"{text}\n".encode()


def read_record(folder: Location) -> dict[str, Any]:
    """Read how a case came about; empty for a folder without a record."""
    try:
        return dict(json.loads(read_file(folder / RECORD)))
    except FileNotFoundError:
        return {}


def read_volume(path: Location) -> Volume:
    """Read a NIfTI file, compressed or not, as stored: no scaling is applied to the numbers.

    Raises:
        gzip.BadGzipFile, EOFError, zlib.error: If the file is damaged, by its checksum.
    """
    content = io.BytesIO(read_file(path))
    with gzip.open(content) if content.getbuffer()[:2] == _GZIP else content as stream:
        is_nifti2 = nib.Nifti2Header.may_contain_header(stream.read(nib.Nifti2Header.sizeof_hdr))
        image_class: Any = nib.Nifti2Image if is_nifti2 else nib.Nifti1Image
        image = image_class.from_stream(stream)
        stored = np.asarray(image.dataobj.get_unscaled())
        stream.read()  # to the end, where the checksum is
    header = image.header.copy()
    header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
    return Volume(stored, header)


def _write_folder(
    volumes: Mapping[str, Volume | None], record: Mapping[str, Any], folder: Location
) -> None:
    files: dict[str, Callable[[], bytes]] = {
        f"{name}{_SUFFIX}": partial(encode_volume, volume)
        for name, volume in volumes.items()
        if volume is not None
    }
    replace_folder(folder, {**files, RECORD: partial(encode_record, record)})


def _read_volumes(folder: Location, needed: str) -> dict[str, Volume]:
    files: list[Location] = sorted(folder.glob(f"*{_SUFFIX}"), key=str)
    paths = {path.name.removesuffix(_SUFFIX): path for path in files}
    if needed not in paths:
        msg = f"{folder}: expected {needed}{_SUFFIX} and {RECORD}, found {sorted(paths)}"
        raise FileNotFoundError(msg)
    return {name: read_volume(path) for name, path in paths.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
