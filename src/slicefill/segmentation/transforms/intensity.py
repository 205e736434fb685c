"""Random contrast, gamma, brightness and noise of the image; label and weight stay."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from slicefill.params.base import Fraction
from slicefill.params.base import Params as BaseParams

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform


class Params(BaseParams):
    """How much, and how often."""

    probability: Fraction = Field(description="of each of the four")
    intensity: Fraction = Field(description="most change of contrast and brightness")
    noise: Fraction = Field(description="largest standard deviation, on intensities in [0, 1]")


def make(params: Params) -> "RandomizableTransform":
    """Build the transform (`TransformFile`).

    Contrast and brightness are scaled, gamma lies between 1 / (1 + `intensity`) and
    1 + `intensity`, brightness is shifted, and Gaussian noise is added. The result is not clipped
    to [0, 1]: clipping would erase what lies beyond.
    """
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )
    from monai.transforms.transform import RandomizableTransform

    most, chance = params.intensity, params.probability
    steps = [
        RandScaleIntensityd("image", factors=most, prob=chance),
        RandAdjustContrastd("image", gamma=(1 / (1 + most), 1 + most), prob=chance),
        RandShiftIntensityd("image", offsets=most, prob=chance),
        RandGaussianNoised("image", std=params.noise, prob=chance),
    ]

    class Intensity(RandomizableTransform):
        def set_random_state(self, seed: Any = None, state: Any = None) -> "Intensity":
            super().set_random_state(seed, state)
            for step in steps:
                step.set_random_state(state=self.R)  # one after the other draw from one source
            return self

        def __call__(self, data: Any) -> Any:
            for step in steps:
                data = step(data)
            return data

    return Intensity(1.0)
