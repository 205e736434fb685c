"""Optical flow by dense inverse search (OpenCV), and both neighbours warped along it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.optical_flow import dis_flow, impute_along
from slicefill.params import ImputationParams
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint, Method, Stack, SyntheticSlices


class Params(BaseParams):
    """Nothing is to be chosen."""


def load(params: Params, checkpoint: Checkpoint | None, imputation: ImputationParams) -> Method:
    """Prepare the method (`MethodFile`); labels and confidence are those of `shape_matched`."""

    def impute(
        stack: Stack, positions: Sequence[float], rng: np.random.Generator
    ) -> SyntheticSlices:
        plain = impute_classically("shape_matched", stack, positions, imputation.label_ends)
        return replace(plain, image=impute_along(dis_flow, stack, positions))

    return impute
