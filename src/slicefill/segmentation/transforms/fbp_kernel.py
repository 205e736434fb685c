"""CT reconstructed with another kernel: filtered back-projection with an altered ramp (FBPAug).

Saparov et al. (2021). For scans in HU whose slices are the plane of acquisition; elsewhere it is a
mere radial filter of frequencies.
"""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slicefill.params.base import Count, Fraction
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform
    from torch import Tensor

_SHARPEST, _SMOOTHEST = 20.0, -0.5  # beyond them, a low exponent changes the scale of intensities


class Params(BaseParams):
    """How often, and how finely."""

    probability: Fraction = Field(description="that a patch gets another kernel")
    angles: Count = Field(description="projections of half a turn")


def make(params: Params) -> "RandomizableTransform":
    """Build the transform (`TransformFile`): half of the kernels sharpen, half smooth.

    One kernel is drawn for all slices of a patch: scanners do not change it between slices.
    """
    import torch
    from monai.transforms.transform import RandomizableTransform

    class FbpKernel(RandomizableTransform):
        def __call__(self, data: "dict[str, Tensor]") -> "dict[str, Tensor]":
            self.randomize(None)
            if not self._do_transform:
                return data
            gain, power = draw_kernel(self.R)
            image = data["image"].numpy()
            slices = image.reshape(-1, *image.shape[-2:])
            changed = [change_kernel(one, gain, power, params.angles) for one in slices]
            shaped = np.stack(changed).reshape(image.shape).astype(image.dtype)
            return {**data, "image": torch.from_numpy(shaped)}

    return FbpKernel(params.probability)


def draw_kernel(rng: np.random.RandomState) -> tuple[float, float]:
    """Draw gain a and power b: a in (10, 40), b in (1, 4), or a in (-1, 0), b in (0.1, 1).

    Corners that change the scale of intensities are no kernels, and are clamped: b is at least 2
    above a = 20, and at least 0.3 below a = -0.5.
    """
    if rng.random_sample() < 0.5:
        gain, power = rng.uniform(10, 40), rng.uniform(1, 4)
        return gain, max(power, 2.0) if gain > _SHARPEST else power
    gain, power = rng.uniform(-1, 0), rng.uniform(0.1, 1)
    return gain, max(power, 0.3) if gain < _SMOOTHEST else power


def change_kernel(image: Array, gain: float, power: float, angles: int) -> NDArray[np.float64]:
    """Reconstruct a slice with the ramp |w| (1 + a |w|^b), w from 0 to 1 at Nyquist.

    What the altered part of the ramp adds is back-projected onto the slice itself, so that a = 0
    changes nothing; beyond its border the slice is mirrored.

    Args:
        image: `(h, w)`, any unit: an offset does not matter.
        gain: a; above 0 sharpens.
        power: b, above 0.
        angles: Projections of half a turn.
    """
    from skimage import transform

    radon, iradon = cast(Any, transform.radon), cast(Any, transform.iradon)  # untyped library
    size = int(np.ceil(np.hypot(*image.shape))) + 2
    before = [(size - n) // 2 for n in image.shape]
    pads = [(b, size - n - b) for b, n in zip(before, image.shape, strict=True)]
    whole = np.pad(image.astype(np.float64), pads, mode="symmetric")
    turns = np.linspace(0, 180, angles, endpoint=False)
    projected = radon(_in_circle(whole - whole.mean()), turns, circle=True)
    length = 2 ** int(np.ceil(np.log2(2 * size)))
    ramp = 2 * np.abs(np.fft.fftfreq(length))[:, None]
    added = np.fft.ifft(np.fft.fft(projected, length, axis=0) * ramp * gain * ramp**power, axis=0)
    change = iradon(added.real[:size], turns, filter_name=None, circle=True)
    box = tuple(slice(b, b + n) for b, n in zip(before, image.shape, strict=True))
    result: NDArray[np.float64] = image + change[box]
    return result


def _in_circle(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Set what lies outside the inscribed circle to 0, as the projection expects."""
    middle = image.shape[0] // 2
    rows, columns = np.indices(image.shape) - middle
    return np.where(rows**2 + columns**2 <= middle**2, image, 0)
