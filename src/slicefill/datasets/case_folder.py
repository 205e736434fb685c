"""A case on disk: image.nii.gz, label.nii.gz, further maps and record.json in one folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.types import Case, Volume

RECORD = "record.json"
_SUFFIX = ".nii.gz"


def write_case(case: Case, folder: Path) -> None:
    """Write a case so that its folder appears whole or not at all.

    Stored numbers, slope, intercept and geometry are written as they are: nothing is rescaled.
    A folder of that name is replaced only once the new one is complete.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    named = {"image": case.image, "label": case.label, **case.maps}
    for name, volume in named.items():
        if volume is not None:
            write_volume(volume, partial / f"{name}{_SUFFIX}")
    text = json.dumps(dict(case.record), indent=1, sort_keys=True, default=_plain)
    (partial / RECORD).write_text(text + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def read_case(folder: Path) -> Case:
    """Read a case folder; every file in full.

    Raises:
        FileNotFoundError: If the folder holds no image or no record.
    """
    volumes = {path.name.removesuffix(_SUFFIX): path for path in sorted(folder.glob(f"*{_SUFFIX}"))}
    if "image" not in volumes:
        msg = f"{folder}: expected image{_SUFFIX} and {RECORD}, found {sorted(volumes)}"
        raise FileNotFoundError(msg)
    loaded = {name: read_volume(path) for name, path in volumes.items()}
    image, label = loaded.pop("image"), loaded.pop("label", None)
    return Case(image, label, maps=loaded, record=read_record(folder))


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


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)
