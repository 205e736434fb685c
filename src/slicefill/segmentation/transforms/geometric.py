"""Random flips, and rotation, scaling and elastic displacement in the plane of the slices."""

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from slicefill.params.base import Fraction, Weight
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform
    from torch import Tensor

_SAMPLING = {"image": ("bilinear", "border"), "truth": ("nearest", "zeros")}
CONTROL_SPACING = 32
"""Most pixels between the control points of the elastic displacement."""


class Params(BaseParams):
    """How much, and how often."""

    probability: Fraction = Field(description="of rotation, scaling and displacement, at once")
    flip: bool = Field(description="mirror along every axis, each with probability 0.5")
    rotation: Weight = Field(description="most degrees, in the plane of the slices")
    scaling: Fraction = Field(description="most change of size: 0.2 is 0.8 to 1.2")
    elastic: Weight = Field(description="largest displacement, pixels; 0: none")


def make(params: Params) -> "RandomizableTransform":
    """Build the transform (`TransformFile`).

    Rotation, scaling and elastic displacement (random at control points, bicubic between) share one
    resampling. Every slice of a 3D patch moves alike and nothing is interpolated across slices,
    which would mix acquired with synthetic ones.
    """
    from monai.transforms.transform import RandomizableTransform

    class Geometric(RandomizableTransform):
        def __call__(self, data: "dict[str, Tensor]") -> "dict[str, Tensor]":
            if params.flip:
                dims = range(1, data["image"].ndim)
                mirrored = [dim for dim in dims if self.R.rand() < 0.5]
                data = {key: patch.flip(mirrored) for key, patch in data.items()}
            self.randomize(None)
            return _deform(data, params, self.R) if self._do_transform else data

    return Geometric(params.probability)


def _deform(
    patch: "dict[str, Tensor]", params: Params, random: np.random.RandomState
) -> "dict[str, Tensor]":
    """Rotate, scale and displace; slices are channels of one image, so that all move alike.

    MONAI's Rand2DElasticd does so too, but it interpolates coordinates instead of displacements:
    with torch's bicubic kernel that alone shifts pixels by up to 5 % of the control spacing.
    """
    import torch.nn.functional as F

    rows, columns = patch["image"].shape[-2:]
    half = np.array([columns, rows]) / 2  # grid_sample counts in half sizes of the patch
    angle = np.deg2rad(params.rotation) * random.uniform(-1, 1)
    size = 1 + params.scaling * random.uniform(-1, 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / size
    theta = np.column_stack([turn * half / half[:, None], np.zeros(2)])[None]
    grid = F.affine_grid(_float(theta), [1, 1, rows, columns], align_corners=False)

    controls = [-(-length // CONTROL_SPACING) + 1 for length in (rows, columns)]
    shifts = params.elastic * random.uniform(-1, 1, (1, 2, *controls)) / half[:, None, None]
    smooth = F.interpolate(_float(shifts), (rows, columns), mode="bicubic", align_corners=True)
    grid += smooth.movedim(1, 3)
    return {key: _sample(patch[key], grid, *_SAMPLING[key]) for key in _SAMPLING}


def _sample(values: "Tensor", grid: "Tensor", mode: str, padding: str) -> "Tensor":
    import torch.nn.functional as F

    slices = values.flatten(0, -3)[None]
    moved = F.grid_sample(slices, grid, mode, padding, align_corners=False)
    return moved.reshape(values.shape)


def _float(values: Array) -> "Tensor":
    import torch

    return torch.from_numpy(values.astype(np.float32))
