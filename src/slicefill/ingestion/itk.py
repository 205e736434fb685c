"""NRRD, MHA and GIPL through SimpleITK."""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from slicefill.ingestion import checks
from slicefill.ingestion.checks import reading
from slicefill.ingestion.integrity import check_length, check_mha, check_nrrd
from slicefill.ingestion.nifti import new_header
from slicefill.types import Array, Volume

SUFFIXES = (".nrrd", ".mha", ".gipl")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GIPL_HEADER = 256  # bytes


def read_itk(path: Path) -> Volume:
    """Read a volume; its geometry goes from ITK's LPS to the RAS of a NIfTI header.

    Raises:
        BadCase: If the file is damaged or holds no volume.
    """
    with reading(f"{path.suffix} file"):
        if path.suffix == ".nrrd":
            check_nrrd(path)
        elif path.suffix == ".mha":
            check_mha(path)
        image = SimpleITK.ReadImage(str(path))
        stored = _channels_last(image)
        if path.suffix == ".gipl":
            check_length(path.stat().st_size, _GIPL_HEADER + stored.nbytes)
    checks.check_voxel_type(stored.dtype)
    checks.check_shape(stored.shape)
    return Volume(stored, new_header(stored, _affine(image)))


def _channels_last(image: Any) -> Array:
    """Voxels as `(I, J, K)` or `(I, J, K, C)`; ITK hands out `(K, J, I)` or `(K, J, I, C)`."""
    array = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return array.T


def _affine(image: Any) -> NDArray[np.float64]:
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine
