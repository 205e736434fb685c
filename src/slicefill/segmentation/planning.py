"""From voxel spacing to the levels of a 3D U-Net, by nnU-Net's rules."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array

if TYPE_CHECKING:
    from slicefill.segmentation.interface import SegmentationData

_SMALLEST_EDGE = 4  # voxels of a feature map, as nnU-Net
_FEWEST, _MOST = 3, 6  # levels: what MONAI's DynUNet needs; what nnU-Net's 128³ voxels allow


class Levels(NamedTuple):
    """Kernel and stride of every encoder level, finest first, the bottleneck last.

    Attributes:
        kernels: 1 or 3 along each axis.
        strides: 1 or 2 along each axis, applied on entering the level; 1 for the first.
    """

    kernels: Sequence[tuple[int, ...]]
    strides: Sequence[tuple[int, ...]]


def plan_levels(spacing: Array, patch: tuple[int, int, int]) -> Levels:
    """Choose kernels and strides so that voxels become isotropic on the way down.

    An axis is halved while its spacing is less than twice the smallest among the axes that have
    room, that is whose feature map keeps at least 4 voxels; an axis alone needs 12 voxels before
    it is halved. Kernels are 1 along an axis until its spacing has come within a factor of 2 of
    the finest, 3 from there on, and 3 in the bottleneck. There are 3 to 6 levels; where a patch
    allows fewer than 3, the last ones do not halve.

    Args:
        spacing: Voxel pitch along the axes of the patch, `(3,)`, mm.
        patch: Voxels along the same axes.

    Raises:
        ValueError: If a spacing is not a positive number.

    Reference:
        Isensee et al., nnU-Net, Nature Methods 18, 2021, and its code, version 2.8
        (`network_topology.get_pool_and_conv_props`).

    Examples:
        Slices 5 mm apart catch up after two halvings in the plane (5 mm and 4 mm):

        >>> thick = plan_levels(np.array([5.0, 1.0, 1.0]), (16, 64, 64))
        >>> thick.strides
        [(1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
        >>> thick.kernels
        [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)]

        Isotropic voxels are halved along every axis, 32 → 16 → 8 → 4:

        >>> plan_levels(np.ones(3), (32, 32, 32)).strides
        [(1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)]
    """
    pitch, size = np.asarray(spacing, dtype=np.float64), np.array(patch)
    if not np.all((pitch > 0) & np.isfinite(pitch)):
        msg = f"spacing: expected 3 positive numbers in mm, got {spacing}; look at the affines"
        raise ValueError(msg)
    kernel = np.ones(3, dtype=np.int64)
    kernels, strides = [], [(1, 1, 1)]
    while len(strides) < _MOST and (halved := _halved(pitch, size)).any():
        kernel[_within_factor_2(pitch, pitch.min())] = 3
        kernels.append(tuple(kernel.tolist()))
        stride = np.where(halved, 2, 1)
        strides.append(tuple(stride.tolist()))
        pitch, size = pitch * stride, -(-size // stride)
    strides += [(1, 1, 1)] * (_FEWEST - len(strides))
    kernels += [(3, 3, 3)] * (len(strides) - len(kernels))
    return Levels(kernels, strides)


def fit_patch(patch: tuple[int, int, int], levels: Levels) -> tuple[int, int, int]:
    """Enlarge a patch, in voxels, to the next multiples of the total stride.

    Example:
        >>> fit_patch((5, 16, 17), Levels([(3, 3, 3)] * 3, [(1, 1, 1), (1, 2, 2), (2, 2, 2)]))
        (6, 16, 20)
    """
    total = np.prod(levels.strides, axis=0)
    slices, rows, columns = (-(-np.array(patch) // total) * total).tolist()
    return slices, rows, columns


def plan_for(
    data: "SegmentationData", patch: tuple[int, int, int]
) -> tuple[Levels, tuple[int, int, int]]:
    """Plan for the median spacing and size of the training scans; reads them all.

    Returns:
        Levels, and the patch where it is not larger than the scans.
    """
    scans = [promise.make() for promise in data.training.values()]
    spacing = np.median([scan.spacing for scan in scans], axis=0)
    size = np.median([scan.label.shape for scan in scans], axis=0).astype(int)
    slices, rows, columns = np.minimum(patch, size).tolist()
    return plan_levels(spacing, (slices, rows, columns)), (slices, rows, columns)


def _halved(pitch: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which axes the next level halves, `(3,)`."""
    roomy = size >= 2 * _SMALLEST_EDGE
    halved = roomy & _within_factor_2(pitch, np.min(pitch, where=roomy, initial=np.inf))
    alone = np.count_nonzero(halved) == 1
    return halved & (size >= 3 * _SMALLEST_EDGE) if alone else halved


def _within_factor_2(pitch: NDArray[np.float64], finest: float) -> NDArray[np.bool_]:
    # Rounded, since 4 × 1 × 1 mm meets the bound exactly and affines carry noise of 1e-7.
    return np.round(pitch / finest, 3) < 2
