"""Optical flow by dense inverse search (OpenCV), and both neighbours warped along it."""

from functools import partial

from slicefill.imputation.methods.classical import with_image
from slicefill.imputation.optical_flow import dis_flow, impute_along
from slicefill.params import ImputationParams
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint, Method


class Params(BaseParams):
    """Nothing is to be chosen."""


def load(params: Params, checkpoint: Checkpoint | None, imputation: ImputationParams) -> Method:
    """Prepare the method (`MethodFile`); labels and confidence are those of `shape_matched`."""
    return with_image(partial(impute_along, dis_flow), imputation)
