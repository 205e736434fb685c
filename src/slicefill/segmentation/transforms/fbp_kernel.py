"""CT as if reconstructed with another kernel: back-projection with an altered ramp (FBPAug).

Saparov et al. (2021). For scans in HU whose slices are the plane of acquisition; elsewhere it is a
mere radial filter of frequencies. The paper clips HU to [-1000, 3000] before; here patches come
clipped to `augmentation.window`, so edges of what lies beyond it (air, bone) ring too little.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slicefill.params.base import Fraction
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform
    from torch import Tensor

_SHARPEST, _SMOOTHEST = 20.0, -0.5  # beyond them, a low exponent changes the scale of intensities


class Params(BaseParams):
    """How often."""

    probability: Fraction = Field(description="that a patch gets another kernel")


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
            changed = change_kernel(image, gain, power).astype(image.dtype)
            return {**data, "image": torch.from_numpy(changed)}

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


def change_kernel(images: Array, gain: float, power: float) -> NDArray[np.float64]:
    """Show slices as reconstructed with the ramp |w| (1 + a |w|^b), w from 0 to 1 at Nyquist.

    Filtered back-projection with the plain ramp returns the slice, and a filter of its projections
    is the same filter of the slice along every direction (projection-slice theorem). So the slice
    is multiplied by 1 + a |w|^b where w is the radial frequency; in the corners of the spectrum,
    beyond Nyquist, w is 1. The cosine transform mirrors slices beyond their border.

    Args:
        images: `(…, h, w)`, any unit: an offset does not matter.
        gain: a; above 0 sharpens, 0 changes nothing.
        power: b, above 0.
    """
    from scipy.fft import dctn, idctn

    rows, columns = (np.arange(n) / n for n in images.shape[-2:])
    radius = np.minimum(np.hypot(rows[:, None], columns), 1)
    spectrum = dctn(images.astype(np.float64), axes=(-2, -1)) * (1 + gain * radius**power)
    changed: NDArray[np.float64] = idctn(spectrum, axes=(-2, -1))
    return changed
