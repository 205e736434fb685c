"""Lesions put into a patch, or taken out of it: image and label change together.

Pesaranghader et al. (CT-SGAN, 2021) train a network for either. Here both follow rules: an
irregular ellipsoid lightens or darkens what is there and keeps its texture; what is erased becomes
a smooth continuation of its surroundings with their texture. For labels with a class of lesions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import ndimage

from slicefill.params.base import Count, Fraction, Positive
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array, Floats

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform
    from torch import Tensor

_UNEVEN = 0.25  # standard deviation of the outline, in radii
_SLOPE = 0.3  # radii from the outline to full contrast
_LEAST = 0.2  # share of the contrast at the outline
_REACH = 3.0  # pixels around a lesion that its place takes its look from
Mask = NDArray[np.bool_]


class Params(BaseParams):
    """How often, where, and what lesions look like."""

    probability: Fraction = Field(description="that a patch gets a lesion or loses its own")
    erase: Fraction = Field(description="share of these patches whose lesions are erased")
    lesion: Count = Field(description="class id of lesions")
    hosts: Annotated[list[int], Field(min_length=1)] = Field(
        description="class ids that a lesion may lie in"
    )
    radius: tuple[Positive, Positive] = Field(description="smallest and largest, pixels")
    contrast: tuple[float, float] = Field(
        description="least and greatest change of intensities in [0, 1]; below 0: darker"
    )
    thickness: Positive = Field(1.0, description="pixels that one slice of a 3D patch is thick")

    @model_validator(mode="after")
    def _in_order(self) -> "Params":
        for name in ("radius", "contrast"):
            low, high = getattr(self, name)
            if low > high:
                msg = f"{name}: expected the smaller value first, got [{low:g}, {high:g}]"
                raise ValueError(msg)
        if self.lesion in self.hosts:
            msg = f"hosts: expected other classes than lesion, {self.lesion}, got {self.hosts}"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class Patch:
    """One patch as arrays: image `(C, …, h, w)`; class indices and whether known, `(…, h, w)`."""

    image: Floats
    label: Array
    known: Mask


def indexed(params: Params, classes: Sequence[int]) -> Params:
    """Put class indices, which patches hold, in place of class ids (`TransformFile`).

    Raises:
        ValueError: If an id is no class, or the lesion is the background.
    """
    allowed = {"lesion": list(classes[1:]), "hosts": list(classes)}
    for name, given in (("lesion", [params.lesion]), ("hosts", params.hosts)):
        if not set(given) <= set(allowed[name]):
            msg = (
                f"augmentation.transforms (kind lesion): {name}: expected ids among "
                f"{allowed[name]}, got {given}; segmentation.label_names has the ids of the classes"
            )
            raise ValueError(msg)
    hosts = [classes.index(host) for host in params.hosts]
    return params.model_copy(update={"lesion": classes.index(params.lesion), "hosts": hosts})


def make(params: Params) -> "RandomizableTransform":
    """Build the transform (`TransformFile`); a patch without a host, or a lesion, stays."""
    import torch
    from monai.transforms.transform import RandomizableTransform

    class Lesion(RandomizableTransform):
        def __call__(self, data: "dict[str, Tensor]") -> "dict[str, Tensor]":
            self.randomize(None)
            if not self._do_transform:
                return data
            label, weight = data["truth"].numpy()
            patch = Patch(data["image"].numpy(), label, weight > 0)
            erases = self.R.random_sample() < params.erase
            changed = (erase if erases else inject)(patch, params, self.R)
            truth = data["truth"].clone()
            truth[0] = torch.from_numpy(changed.label)
            return {**data, "image": torch.from_numpy(changed.image), "truth": truth}

    return Lesion(params.probability)


def inject(patch: Patch, params: Params, rng: np.random.RandomState) -> Patch:
    """Put one lesion into a host; label and image change in the same voxels.

    Args:
        patch: Image and label; of unknown voxels none is a host.
        params: Size, contrast, where; classes by their indices.
        rng: Source of place, shape and contrast.

    Returns:
        The patch; without a host, as it was. No intensity leaves the range of the channel.
    """
    room = np.isin(patch.label, params.hosts) & patch.known
    if not room.any():
        return patch
    places = np.argwhere(room)
    depth = _depth(places[rng.randint(len(places))], room.shape, params, rng)
    lesion = _around_deepest((depth > 0) & room, depth)
    weight = np.where(lesion, np.clip(depth / _SLOPE, _LEAST, 1), 0).astype(np.float32)
    image = patch.image.copy()
    for channel in image:
        change = np.float32(rng.uniform(*params.contrast)) * weight
        channel[...] = np.clip(channel + change, channel.min(), channel.max())
    changed = (image != patch.image).any(0)
    label = np.where(changed, params.lesion, patch.label).astype(patch.label.dtype)
    return Patch(image, label, patch.known)


def erase(patch: Patch, params: Params, rng: np.random.RandomState) -> Patch:
    """Replace every lesion by what surrounds it, in image and label.

    Args:
        patch: Image and label; unknown voxels may be lesion, and are no host.
        params: Which class a lesion is, and which its hosts are, by their indices.
        rng: Source of the texture.

    Returns:
        The patch; without a lesion, or without a host beside it, as it was.
    """
    lesion = patch.label == params.lesion
    sigma = _sigma(patch.label.ndim, params)
    reach = ndimage.gaussian_filter(lesion.astype(np.float32), sigma) > 1e-3
    around = reach & np.isin(patch.label, params.hosts) & patch.known
    if not (lesion.any() and around.any()):
        return patch
    image = patch.image.copy()
    for channel in image:
        smooth = _smoothed(channel, around, sigma)
        filled = smooth[lesion] + rng.choice((channel - smooth)[around], lesion.sum())
        channel[lesion] = np.clip(filled, channel.min(), channel.max())
    hosts, counts = np.unique(patch.label[around], return_counts=True)
    label = np.where(lesion, hosts[counts.argmax()], patch.label).astype(patch.label.dtype)
    return Patch(image, label, patch.known)


def _depth(
    centre: Array, shape: tuple[int, ...], params: Params, rng: np.random.RandomState
) -> NDArray[np.float64]:
    """How far inside an irregular ellipsoid each voxel lies, in radii; below 0 outside."""
    radius = rng.uniform(*params.radius)
    radii = radius * rng.uniform(0.7, 1.3, len(shape)) / _voxel(len(shape), params)
    grid = np.indices(shape).reshape(len(shape), -1).T
    distance = np.linalg.norm((grid - centre) / radii, axis=1).reshape(shape)
    rough = ndimage.gaussian_filter(rng.standard_normal(shape), np.maximum(radii / 2, 0.5))
    uneven: NDArray[np.float64] = _UNEVEN * rough / max(float(rough.std()), 1e-12)
    depth: NDArray[np.float64] = 1 - distance + uneven * (distance > 0)
    return depth


def _around_deepest(mask: Mask, depth: Array) -> Mask:
    """Keep the connected part of a mask that has its deepest voxel."""
    parts, _ = ndimage.label(mask)
    deepest = np.unravel_index(np.where(mask, depth, -np.inf).argmax(), mask.shape)
    kept: Mask = mask & (parts == parts[deepest])
    return kept


def _smoothed(values: Floats, where: Mask, sigma: Array) -> Floats:
    """Mean of the values in a mask around every voxel; far from it, of the whole mask."""
    weight = ndimage.gaussian_filter(where.astype(np.float64), sigma)
    total = ndimage.gaussian_filter(np.where(where, values, 0).astype(np.float64), sigma)
    mean = float(values[where].mean())
    smooth: Floats = ((total + 1e-6 * mean) / (weight + 1e-6)).astype(np.float32)
    return smooth


def _sigma(axes: int, params: Params) -> Array:
    return _REACH / _voxel(axes, params)


def _voxel(axes: int, params: Params) -> Array:
    """Size of a voxel, pixels: slices of 3D patches may be thick."""
    return np.array([params.thickness, 1, 1] if axes == 3 else [1, 1], float)
