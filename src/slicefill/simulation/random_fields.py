"""Smooth random fields: of deformations, shapes, textures and biases."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from slicefill.types import Array, Floats


def smooth_field(
    shape: Sequence[int], scale: float | Sequence[float] | Array, rng: np.random.Generator
) -> Floats:
    """Random field of unit variance: Gaussians of sigma `scale` on a grid of that pitch.

    As white noise after a Gaussian filter, but as small matrix products, one per axis.

    Args:
        shape: Of the field, voxels.
        scale: Sigma in voxels; one, or one per axis.
        rng: Draws it.
    """
    scales = np.broadcast_to(np.asarray(scale, dtype=float), len(shape))
    field = rng.standard_normal([int(n // s) + 4 for n, s in zip(shape, scales, strict=True)])
    for axis, (size, pitch) in enumerate(zip(shape, scales, strict=True)):
        knots = (np.arange(field.shape[axis]) - 1.5) * pitch
        bells = np.exp(-(((np.arange(size)[:, None] - knots) / pitch) ** 2) / 2)
        field = np.moveaxis(np.tensordot(bells, field, axes=(1, axis)), 0, axis)
    # Sum of the squared bells per axis, √π for unit pitch: the variance does not depend on chance.
    smooth: Floats = (field / np.pi ** (len(shape) / 4)).astype(np.float32)
    return smooth


def displaced_grid(
    shape: Sequence[int], deviation: float, scale: float, rng: np.random.Generator
) -> Floats:
    """Places of voxels after a smooth random motion, `(3, *shape)`, voxels.

    There are no folds as long as `deviation` is well below `scale`.

    Args:
        shape: Of the grid.
        deviation: Standard deviation of the motion, voxels.
        scale: Of the motion, voxels.
        rng: Draws it.
    """
    motion = [deviation * smooth_field(shape, scale, rng) for _ in shape]
    return np.indices(shape, dtype=np.float32) + np.stack(motion)


def spline_field(nodes: Array, size: Sequence[int]) -> NDArray[np.float64]:
    """Evaluate a cubic spline through nodes, spread evenly from the first voxel to the last.

    Args:
        nodes: Its values there, as many axes as `size`.
        size: Of the field, voxels; a single one lies in the middle.
    """
    field = np.asarray(nodes, np.float64)
    for axis, (length, count) in enumerate(zip(size, nodes.shape, strict=True)):
        places = np.linspace(0, count - 1, length) if length > 1 else np.full(1, (count - 1) / 2)
        bells = [map_coordinates(e, places[None], order=3, mode="nearest") for e in np.eye(count)]
        field = np.moveaxis(np.tensordot(bells, field, axes=(0, axis)), 0, axis)
    return field


def sample(volume: Array, where: Floats, order: int) -> Array:
    """Volume at places `(3, ...)`; outside, the nearest voxel. Order 0 is nearest, 1 linear."""
    found: Array = map_coordinates(volume, where, order=order, mode="nearest")
    return found
