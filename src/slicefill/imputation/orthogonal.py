"""Sheared grids, as a tilted gantry leaves them, and their way onto an orthonormal one."""

from dataclasses import replace
from itertools import product

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import AxisName, shear, through_plane_axis
from slicefill.imputation.dense_grid import to_dtype
from slicefill.types import Array, Case, Volume

_SHEARED = (
    "the grid is sheared (a tilted gantry?): ITK, ITK-SNAP, 3D Slicer and nnU-Net cannot open it "
    "as NIfTI"
)
SHEARED = f"{_SHEARED}; --orthogonal resamples it"
_SHEAR = 1e-4  # of directions; ITK refuses somewhat more
_ROUNDING = 1e-3  # of a voxel, by which a grid need not become larger


def is_refused_by_itk(volume: Volume) -> bool:
    """Whether ITK, and so ITK-SNAP, 3D Slicer and nnU-Net, cannot open the volume as NIfTI.

    They want axes at right angles, in the sform or else in the qform.
    """
    return not volume.header["qform_code"] and shear(volume.affine) > _SHEAR


def sheared_despite_gaps(case: Case) -> str:
    """Say how the grid of a series that lacks slices is resampled: only once it is whole."""
    return f"{_SHEARED}; {resample_filled(case)}"


def resample_filled(case: Case) -> str:
    """Say how a series that lacks slices comes onto axes at right angles: in two calls."""
    step = float(case.image.spacing[Case.ACROSS])
    return (
        f"to resample it, impute what it lacks alone (--fill-missing --spacing {step:.3g}), then "
        "the NIfTI file of that with --orthogonal"
    )


def orthogonalise(case: Case, through_plane: AxisName) -> Case:
    """Resample a case onto axes at right angles; one whose axes are so is returned as it is.

    Slices stay in their planes: the grid is moved within them, and is as much larger as it takes to
    hold every voxel. Images are interpolated linearly, labels take the nearest id. Outside of the
    acquired slices lies the lowest stored number of the image, and label 0.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        through_plane: The axis across slices.
    """
    if shear(case.image.affine) <= _SHEAR:
        return case
    axis = through_plane_axis(case.image.affine, through_plane)
    index_map, shape = _grid(case.image, axis)
    image = _resampled(case.image, index_map, shape, order=1)
    label = None if case.label is None else _resampled(case.label, index_map, shape, order=0)
    return replace(case, image=image, label=label, maps={})


def _grid(image: Volume, axis: int) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Indices of the orthonormal grid to those of the image, `(4, 4)`, and its shape."""
    affine = image.affine
    first, second = (each for each in range(3) if each != axis)
    columns = np.empty((3, 3))
    columns[:, first] = affine[:3, first]
    columns[:, second] = _without(affine[:3, second], [columns[:, first]])
    columns[:, axis] = _without(affine[:3, axis], [columns[:, first], columns[:, second]])
    target = nib.affines.from_matvec(columns, affine[:3, 3])
    ends = np.array(list(product(*[(0, size - 1) for size in image.stored.shape[:3]])))
    places = nib.affines.apply_affine(np.linalg.inv(target) @ affine, ends)
    low = np.floor(places.min(0) + _ROUNDING)
    shape = np.ceil(places.max(0) - _ROUNDING) - low + 1
    target[:3, 3] = nib.affines.apply_affine(target, low)
    return np.linalg.inv(affine) @ target, tuple(map(int, shape))


def _without(vector: Array, others: list[Array]) -> Array:
    """Take off what of a vector lies along others, which are at right angles."""
    along = [other * (vector @ other) / (other @ other) for other in others]
    return np.asarray(vector - np.sum(along, axis=0))


def _resampled(volume: Volume, index_map: Array, shape: tuple[int, ...], order: int) -> Volume:
    from scipy.ndimage import affine_transform

    outside = volume.stored.min() if order else 0
    channels = volume.stored[..., None] if volume.stored.ndim == 3 else volume.stored
    made = [
        affine_transform(
            channels[..., number].astype(np.float64), index_map[:3, :3], index_map[:3, 3], shape,
            order=order, mode="grid-constant", cval=float(outside),
        )
        for number in range(channels.shape[3])
    ]  # fmt: skip
    stored = to_dtype(np.stack(made, -1), volume.stored.dtype)
    return volume.with_stored(stored[..., 0] if volume.stored.ndim == 3 else stored, index_map)
