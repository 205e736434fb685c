"""Conventional augmentation: random MONAI transforms of patches, image, label and weight alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.params import TransformParams
from slicefill.segmentation.interface import Batch
from slicefill.types import Array

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.compose import Compose
    from monai.transforms.transform import Transform

KEYS = ("image", "truth")  # truth: label and weight as two channels, which move alike
SAMPLING = {"image": ("bilinear", "border"), "truth": ("nearest", "zeros")}
CONTROL_SPACING = 32
"""Most pixels between the control points of the elastic displacement."""

Patch = dict[str, Tensor]


def build_transform(params: TransformParams, dims: int) -> "Compose":
    """Build the random transform of one patch, a dict of `image` and `truth`.

    `truth` has two channels, label and weight. The transforms:

    - Flips along every axis, with probability 0.5 each.
    - In the plane of the slices, in one resampling and with one `probability`: rotation, scaling
      and elastic displacement (random at control points, bicubic between). Every slice of a 3D
      patch moves alike and nothing is interpolated across slices, which would mix acquired with
      synthetic ones.
    - On the image, each with `probability`: contrast and brightness scaled, gamma between
      1 / (1 + `intensity`) and 1 + `intensity`, brightness shifted, Gaussian noise. The result
      is not clipped to [0, 1]: clipping would erase what lies beyond.

    Args:
        params: How much of each.
        dims: 2 for patches `(C, h, w)`, 3 for `(C, d, h, w)`.
    """
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )
    from monai.transforms.spatial.dictionary import RandFlipd

    most, chance = params.intensity, params.probability
    flips = [RandFlipd(KEYS, 0.5, axis) for axis in range(dims) if params.flip]
    intensities = [
        RandScaleIntensityd("image", factors=most, prob=chance),
        RandAdjustContrastd("image", gamma=(1 / (1 + most), 1 + most), prob=chance),
        RandShiftIntensityd("image", offsets=most, prob=chance),
        RandGaussianNoised("image", std=params.noise, prob=chance),
    ]
    return Compose([*flips, _in_plane(params), *intensities])


def transform_batch(batch: Batch, transform: "Compose", rng: np.random.Generator) -> Batch:
    """Transform every sample of a batch on its own, all randomness drawn from `rng`.

    Args:
        batch: On the CPU.
        transform: What `build_transform` returns for its dimensions.
        rng: Two generators in the same state give the same result.

    Returns:
        A batch of the same shapes. Label and weight are 0 where no voxel came from the patch.
    """
    state = np.random.RandomState(rng.bit_generator)  # the kind of generator that MONAI takes
    for each in transform.transforms:
        each.set_random_state(state=state)
    truths = torch.cat([batch.label.float(), batch.weight], dim=1)
    with _plain_tensors():
        moved = [
            transform({"image": image, "truth": truth})
            for image, truth in zip(batch.image, truths, strict=True)
        ]
    image, truth = (torch.stack([sample[key] for sample in moved]) for key in KEYS)
    return Batch(image, truth[:, :1].long(), truth[:, 1:])


def _in_plane(params: TransformParams) -> "Transform":
    from monai.transforms.transform import RandomizableTransform

    class InPlaneDeformd(RandomizableTransform):
        def __call__(self, data: Patch) -> Patch:
            self.randomize(None)
            return _deform(data, params, self.R) if self._do_transform else data

    return InPlaneDeformd(params.probability)


def _deform(patch: Patch, params: TransformParams, random: np.random.RandomState) -> Patch:
    """Rotate, scale and displace; slices are channels of one image, so that all move alike.

    MONAI's Rand2DElasticd does so too, but it interpolates coordinates instead of displacements:
    with torch's bicubic kernel that alone shifts pixels by up to 5 % of the control spacing.
    """
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
    return {key: _sample(patch[key], grid, *SAMPLING[key]) for key in KEYS}


def _sample(values: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    slices = values.flatten(0, -3)[None]
    moved = F.grid_sample(slices, grid, mode, padding, align_corners=False)
    return moved.reshape(values.shape)


def _float(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Keep MONAI from wrapping tensors with metadata, which costs more than the transforms."""
    from monai.data.meta_obj import get_track_meta, set_track_meta

    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
