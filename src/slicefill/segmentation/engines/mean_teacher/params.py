"""Parameters of the mean teacher."""

from typing import Annotated

from pydantic import Field

from slicefill.params.base import Count, Fraction, Weight
from slicefill.segmentation.engines import unet2d


class Params(unet2d.Params):
    """The network as of `unet2d`, and how unlabelled slices teach."""

    dropout: Fraction = Field(description="of both networks: Monte Carlo passes need it")
    decay: Fraction = Field(description="of the moving average that makes the teacher")
    consistency: Weight = Field(description="largest weight of the consistency loss")
    ramp_up: Fraction = Field(description="share of all steps until that weight is reached")
    passes: Count = Field(description="Monte Carlo passes of the teacher")
    noise: Weight = Field(description="standard deviation of the noise on what networks see")
    unlabelled_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="of the patches of a step; the labelled ones are as many as `batch`"
    )
