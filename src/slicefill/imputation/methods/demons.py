"""Registration of neighbours by demons (SimpleITK), and both of them warped along it."""

from functools import partial

from pydantic import Field

from slicefill.imputation.methods.classical import with_image
from slicefill.imputation.optical_flow import demons_flow, impute_along
from slicefill.params import ImputationParams
from slicefill.params.base import Count, Positive
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint, Method


class Params(BaseParams):
    """How neighbours are registered."""

    iterations: Count = Field(50, description="of every registration")
    smoothing: Positive = Field(
        1.0, description="sigma of the displacement after every iteration, pixels"
    )


def load(params: Params, checkpoint: Checkpoint | None, imputation: ImputationParams) -> Method:
    """Prepare the method (`MethodFile`); labels and confidence are those of `shape_matched`."""
    flow = partial(demons_flow, iterations=params.iterations, smoothing=params.smoothing)
    return with_image(partial(impute_along, flow), imputation)
