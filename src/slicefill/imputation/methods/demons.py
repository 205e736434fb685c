"""Registration of neighbours by demons (SimpleITK), and both of them warped along it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from pydantic import Field

from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.optical_flow import demons_flow, impute_along
from slicefill.params import ImputationParams
from slicefill.params.base import Count, Positive
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint, Method, Stack, SyntheticSlices


class Params(BaseParams):
    """How neighbours are registered."""

    iterations: Count = Field(50, description="of every registration")
    smoothing: Positive = Field(
        1.0, description="sigma of the displacement after every iteration, pixels"
    )


def load(params: Params, checkpoint: Checkpoint | None, imputation: ImputationParams) -> Method:
    """Prepare the method (`MethodFile`); labels and confidence are those of `shape_matched`."""
    flow = partial(demons_flow, iterations=params.iterations, smoothing=params.smoothing)

    def impute(
        stack: Stack, positions: Sequence[float], rng: np.random.Generator
    ) -> SyntheticSlices:
        plain = impute_classically("shape_matched", stack, positions, imputation.label_ends)
        return replace(plain, image=impute_along(flow, stack, positions))

    return impute
