"""Geometry of slices: through-plane axis, slice counts, index maps of grids. Lengths are in mm."""

from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array

AxisName = Literal["auto", "S", "A", "L"]
_WORLD_AXIS = {"L": 0, "A": 1, "S": 2}
_ROUNDING = 1e-5  # of a squared ratio of spacings: headers hold single precision
_TIE = 1.01  # spacings within 1 % of each other count as equal


def world_axis(affine: Array, axis: int) -> AxisName:
    """Name the world axis nearest to an array axis: what `through_plane_axis` finds it by.

    Args:
        affine: Voxel to world, `(4, 4)`, mm.
        axis: 0, 1 or 2.

    Example:
        >>> world_axis(np.diag([-1.0, 4.0, 1.0, 1.0]), 0)
        'L'
    """
    names: tuple[AxisName, ...] = ("L", "A", "S")
    directions = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    return names[int(directions[:, axis].argmax())]


def through_plane_axis(affine: Array, name: AxisName) -> int:
    """Find the array axis across slices.

    Args:
        affine: Voxel to world, `(4, 4)`, mm.
        name: `S`, `A` or `L` takes the array axis nearest to that world axis; `auto` the
            largest spacing, and of equal spacings the last axis.

    Returns:
        0, 1 or 2.

    Example:
        >>> through_plane_axis(np.diag([1.0, 4.0, 1.0, 1.0]), "auto")
        1
    """
    if name == "auto":
        spacing = nib.affines.voxel_sizes(affine)
        return int(np.flatnonzero(spacing * _TIE >= spacing.max())[-1])
    return int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == _WORLD_AXIS[name])[0])


def anisotropy(spacing: Array, axis: int) -> float:
    """Ratio of slice spacing to in-plane spacing (the mean of the two in-plane pitches)."""
    return float(spacing[axis] / np.delete(spacing, axis).mean())


def shear(affine: Array) -> float:
    """Largest cosine between two axes of a grid, 0 where they are at right angles.

    Example:
        >>> shear(np.diag([1.0, 2.0, 4.0, 1.0]))
        0.0
    """
    unit = affine[:3, :3] / nib.affines.voxel_sizes(affine)
    return float(np.abs(unit.T @ unit - np.eye(3)).max())


def adaptive_count(spacing: Array, axis: int) -> int:
    """Count the synthetic slices per interval that make the grid nearly isotropic: N_A, eq. (20).

    Never below 0. A ratio 0.001 below an integer counts as that integer: 7.5 mm by 0.5 mm comes
    out of the single precision of a header as 14.999998.

    Example:
        >>> adaptive_count(np.array([0.6, 0.6, 4.0]), axis=2)
        5
        >>> adaptive_count(np.array([1.0, 1.0, 0.5]), axis=2)
        0
    """
    return max(0, int(np.floor(anisotropy(spacing, axis) + 1e-3)) - 1)


def nearest_count(spacing: Array, axis: int) -> int:
    """Count the synthetic slices per interval that bring the grid nearest to isotropic.

    That is the N >= 0 with the smallest |log(a / (N + 1))|, where a is the ratio of slice spacing
    to pixel: half as far apart as pixels is as bad as twice as far. Eq. (20) rounds down instead
    and leaves 1.125 x 3.3 mm at 1.65 mm; this rule makes it 1.10. Of two grids that are as near,
    the one with fewer synthetic slices is taken. From a ratio of sqrt(2) on there is one to impute.

    Example:
        >>> nearest_count(np.array([1.125, 1.125, 3.3]), axis=2)
        2
        >>> nearest_count(np.array([1.0, 1.0, 1.4]), axis=2)
        0
    """
    ratio = anisotropy(spacing, axis)
    parts = max(1, int(np.floor(ratio)))  # of an interval; or one more
    enough = ratio**2 <= parts * (parts + 1) * (1 + _ROUNDING)
    return parts - 1 if enough else parts


def spacing_count(slice_spacing: float, target: float) -> int:
    """Count the synthetic slices per interval that bring the slice spacing nearest to `target` mm.

    Acquired slices must stay on the grid, so the new spacing is `slice_spacing / (N + 1)`.

    Example:
        >>> spacing_count(5.0, 0.8)  # 6 steps of 0.833 mm
        5
    """
    return max(0, round(slice_spacing / target) - 1)


def step_map(axis: int, step: float) -> NDArray[np.float64]:
    """Map indices of a grid whose slices are `step` old slices apart to old indices, `(4, 4)`."""
    index_map = np.eye(4)
    index_map[axis, axis] = step
    return index_map


def spacing_slices_first(spacing: Array, axis: int) -> NDArray[np.float64]:
    """Put the pitch across slices in front: slice, row and column pitch, `(3,)`, mm.

    Example:
        >>> spacing_slices_first(np.array([0.5, 0.6, 4.0]), axis=2).tolist()
        [4.0, 0.5, 0.6]
    """
    return np.array([spacing[axis], *np.delete(spacing, axis)])


def slices_first(array: Array, axis: int) -> Array:
    """Move the through-plane axis to the front: `(D, H, W)` or `(D, H, W, C)`, a view."""
    return np.moveaxis(array, axis, 0)


def slices_back(array: Array, axis: int) -> Array:
    """Undo `slices_first`."""
    return np.moveaxis(array, 0, axis)


def placing_error(affine: Array, shape: tuple[int, ...]) -> float:
    """Largest error of a position that a header's float32 numbers leave, mm.

    Args:
        affine: Voxel to world, `(4, 4)`, mm.
        shape: Of the grid; three axes count.
    """
    sums = np.abs(affine[:3, :3]) @ np.asarray(shape[:3]) + np.abs(affine[:3, 3])
    return float(4 * np.finfo(np.float32).eps * sums.max())
