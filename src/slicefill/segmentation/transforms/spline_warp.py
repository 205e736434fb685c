"""Random warp of whole patches along a cubic spline: small objects in shapes that were not seen.

Assis et al. (2021): a lattice of three nodes per axis whose centre stays; the others move.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slicefill.params.base import Fraction
from slicefill.params.base import Params as BaseParams
from slicefill.simulation.random_fields import spline_field

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform
    from torch import Tensor

_NODES = 3
_SAMPLING = {"image": ("bilinear", "border"), "truth": ("nearest", "zeros")}


class Params(BaseParams):
    """How much, how often, and of which patches."""

    probability: Fraction = Field(description="that a patch is warped")
    displacement: tuple[Fraction, Fraction, Fraction] = Field(
        description="of a node, at most: shares of the patch along slices, rows and columns; 0.2 "
        "folds no more than a thousandth of it. Slices: 0 where acquired ones are not to be mixed "
        "with synthetic ones, unused in 2D"
    )
    objects_only: bool = Field(True, description="leave patches without an object as they are")


def make(params: Params) -> "RandomizableTransform":
    """Build the transform (`TransformFile`); image, label and weight move alike."""
    from monai.transforms.transform import RandomizableTransform

    class SplineWarp(RandomizableTransform):
        def __call__(self, data: "dict[str, Tensor]") -> "dict[str, Tensor]":
            self.randomize(None)
            spared = params.objects_only and not bool((data["truth"][0] > 0).any())
            if not self._do_transform or spared:
                return data
            size = tuple(data["image"].shape[1:])
            moved = displace(size, params.displacement[-len(size) :], self.R)
            return {key: _sample(data[key], moved, *how) for key, how in _SAMPLING.items()}

    return SplineWarp(params.probability)


def displace(
    size: tuple[int, ...], largest: tuple[float, ...], random: np.random.RandomState
) -> NDArray[np.float64]:
    """Draw a displacement, voxels, `(axes, …)`.

    Args:
        size: Of the patch, voxels, two or three axes.
        largest: Displacement of a node along each axis, a share of the patch.
        random: Source of the displacements, uniform within ± the largest.
    """
    axes = len(size)
    nodes = random.uniform(-1, 1, (axes, *[_NODES] * axes))
    nodes.reshape(axes, -1)[:, _NODES**axes // 2] = 0  # that in the middle
    nodes *= (np.array(largest) * size).reshape(axes, *[1] * axes)
    return np.stack([spline_field(each, size) for each in nodes])


def _sample(values: "Tensor", moved: NDArray[np.float64], mode: str, padding: str) -> "Tensor":
    """Read a patch `(C, …)` at displaced places; its last axis comes first in torch's grids."""
    import torch
    import torch.nn.functional as F

    size = values.shape[1:]
    places = np.indices(size) + moved
    half = np.maximum((np.array(size) - 1) / 2, 0.5).reshape(-1, *[1] * len(size))
    centred = (places - (np.array(size) - 1).reshape(half.shape) / 2) / half
    grid = torch.from_numpy(np.moveaxis(centred[::-1], 0, -1).astype(np.float32))
    return F.grid_sample(values[None], grid[None], mode, padding, align_corners=True)[0]
