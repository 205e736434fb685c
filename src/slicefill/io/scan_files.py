"""One volume in one file, in the format that the file's suffix names."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from slicefill.io.case_folder import encode_volume
from slicefill.io.exchange import to_itk
from slicefill.io.storage import new_folder_beside, replace_file
from slicefill.types import Volume

NIFTI = ".nii.gz"
WRITTEN = (NIFTI, ".nii", ".nrrd", ".mha", ".mgz")
"""Suffixes of the formats that are written."""


def written_suffix(name: str) -> str:
    """Return the suffix that a scan's output takes from its input: the same, or NIfTI's.

    Example:
        >>> written_suffix("a.NRRD"), written_suffix("a.v2.nii"), written_suffix("series")
        ('.nrrd', '.nii', '.nii.gz')
    """
    return next((suffix for suffix in WRITTEN if name.lower().endswith(suffix)), NIFTI)


def beside(scan: Path, ending: str) -> Path:
    """Name a file beside a scan that is written: its name without the suffix, and an ending.

    Example:
        >>> beside(Path("KNEE_LABEL.NII.GZ"), "_confidence.nii.gz").name
        'KNEE_LABEL_confidence.nii.gz'
    """
    written = scan.name.lower().endswith(WRITTEN)
    stem = scan.name[: -len(written_suffix(scan.name))] if written else scan.name
    return scan.with_name(stem + ending)


def check_suffix(path: Path) -> None:
    """Refuse the name of an output whose format is not written.

    Raises:
        ValueError: Lists the formats.
    """
    if not path.name.lower().endswith(WRITTEN):
        msg = f"{path}: expected a name that ends in {' '.join(WRITTEN)}"
        raise ValueError(msg)


def write_scan(volume: Volume, path: Path) -> None:
    """Write a volume as stored, whole or not at all; folders are made as needed.

    Args:
        volume: Nothing of it is rescaled.
        path: Its suffix is one of `WRITTEN`.

    Raises:
        ValueError: If the format cannot hold the volume, or is none of those; nothing is written.
    """
    check_suffix(path)
    name = path.name.lower()
    if name.endswith(NIFTI):
        replace_file(path, encode_volume(volume))
    elif name.endswith(".nii"):
        replace_file(path, encode_volume(volume, compressed=False))
    elif name.endswith(".mgz"):
        replace_file(path, _mgz_bytes(volume))
    else:
        _write_by_itk(volume, path)


def _mgz_bytes(volume: Volume) -> bytes:
    if volume.slope_intercept != (1.0, 0.0):
        msg = (
            f"the scan has slope and intercept {volume.slope_intercept}, which MGZ cannot hold; "
            "name an output that ends in .nii.gz"
        )
        raise ValueError(msg)
    native = volume.stored.astype(volume.stored.dtype.newbyteorder("="))
    try:
        image = nib.MGHImage(native, volume.affine)
    except nib.freesurfer.mghformat.MGHError as error:
        msg = f"MGZ cannot hold voxels of type {native.dtype}; name an output ending in .nii.gz"
        raise ValueError(msg) from error
    return gzip.compress(image.to_bytes(), 1, mtime=0)


def _write_by_itk(volume: Volume, path: Path) -> None:
    import SimpleITK

    if volume.stored.dtype == np.float16:
        msg = "ITK cannot hold voxels of type float16; name an output that ends in .nii.gz"
        raise ValueError(msg)
    image = to_itk(volume)
    with new_folder_beside(path) as folder:
        partial = (folder / "scan").with_suffix(path.suffix.lower())
        SimpleITK.WriteImage(image, str(partial), useCompression=True)
        partial.replace(path)
