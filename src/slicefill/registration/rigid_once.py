"""Rigid registration from one start, as the SuperMask paper sets its baseline."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slicefill.grids.cubic import see, to_world
from slicefill.params.base import Count, Fraction
from slicefill.params.base import Params as BaseParams
from slicefill.types import Case


class Params(BaseParams):
    """The paper's numbers."""

    samples: Fraction = Field(0.01, description="share of the voxels that is looked at, random")
    steps: Count = Field(500, description="of gradient descent")
    learning_rate: float = Field(1.0, description="of gradient descent")
    seed: Count = Field(1, description="of the samples")


def register(reference: Case, moving: Case, params: Params) -> NDArray[np.float64]:
    """Descend once from the middle of the fields on top of each other (`RegistrationFile`).

    Raises:
        ValueError: If the views do not overlap.
    """
    import SimpleITK

    fixed, moved = see(reference, "image"), see(moving, "image")
    start = SimpleITK.CenteredTransformInitializer(
        fixed.image, moved.image, SimpleITK.Euler3DTransform(),
        SimpleITK.CenteredTransformInitializerFilter.GEOMETRY,
    )  # fmt: skip
    method = SimpleITK.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(params.samples, params.seed)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerAsGradientDescent(params.learning_rate, params.steps)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    try:
        return to_world(method.Execute(fixed.image, moved.image))
    except RuntimeError as error:  # ITK: all samples map outside of the moving view
        msg = "the views do not overlap where registration starts: set registration to rigid"
        raise ValueError(msg) from error
