"""A case on disk: image.nii.gz, label.nii.gz, further maps and record.json in one folder.

A predicted segmentation is laid out alike: prediction.nii.gz, softmax.nii.gz and record.json.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.types import Case, Prediction, Volume

RECORD = "record.json"
_SUFFIX = ".nii.gz"


def write_case(case: Case, folder: Path) -> None:
    """Write a case so that its folder appears whole or not at all.

    Stored numbers, slope, intercept and geometry are written as they are: nothing is rescaled.
    A folder of that name is replaced only once the new one is complete.
    """
    volumes = {"image": case.image, "label": case.label, **case.maps}
    _write_folder(volumes, case.record, folder)


def write_prediction(prediction: Prediction, folder: Path) -> None:
    """Write prediction.nii.gz, softmax.nii.gz if there is one, and record.json, as `write_case`."""
    volumes = {"prediction": prediction.label, "softmax": prediction.softmax}
    _write_folder(volumes, prediction.record, folder)


def read_case(folder: Path) -> Case:
    """Read a case folder; every file in full.

    Raises:
        FileNotFoundError: If the folder holds no image.
    """
    volumes = _read_volumes(folder, "image")
    image, label = volumes.pop("image"), volumes.pop("label", None)
    return Case(image, label, maps=volumes, record=read_record(folder))


def read_prediction(folder: Path) -> Prediction:
    """Read a folder that `write_prediction` wrote; every file in full.

    Raises:
        FileNotFoundError: If the folder holds no prediction.
    """
    volumes = _read_volumes(folder, "prediction")
    return Prediction(volumes["prediction"], volumes.get("softmax"), read_record(folder))


def write_volume(volume: Volume, path: Path) -> None:
    """Write a NIfTI file as stored, whole or not at all; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_nifti2 = isinstance(volume.header, nib.Nifti2Header)
    image_class: Any = nib.Nifti2Image if is_nifti2 else nib.Nifti1Image
    image = image_class(volume.stored, None, volume.header, dtype=volume.stored.dtype)
    image.header.set_slope_inter(*volume.slope_intercept)  # nibabel clears it for new images
    partial = path.with_name(f".partial-{path.name}")
    nib.save(image, partial)
    partial.replace(path)


def read_record(folder: Path) -> dict[str, Any]:
    """Read how a case came about; empty for a folder without a record."""
    path = folder / RECORD
    return dict(json.loads(path.read_text())) if path.exists() else {}


def read_volume(path: Path) -> Volume:
    """Read a NIfTI file as stored: no scaling is applied to the numbers."""
    image: Any = nib.load(path)
    header = image.header.copy()
    header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
    return Volume(np.asarray(image.dataobj.get_unscaled()), header)


def _write_folder(
    volumes: Mapping[str, Volume | None], record: Mapping[str, Any], folder: Path
) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, volume in volumes.items():
        if volume is not None:
            write_volume(volume, partial / f"{name}{_SUFFIX}")
    text = json.dumps(dict(record), indent=1, sort_keys=True, default=_plain)
    (partial / RECORD).write_text(text + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _read_volumes(folder: Path, needed: str) -> dict[str, Volume]:
    paths = {path.name.removesuffix(_SUFFIX): path for path in sorted(folder.glob(f"*{_SUFFIX}"))}
    if needed not in paths:
        msg = f"{folder}: expected {needed}{_SUFFIX} and {RECORD}, found {sorted(paths)}"
        raise FileNotFoundError(msg)
    return {name: read_volume(path) for name, path in paths.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
