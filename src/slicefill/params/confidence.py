"""Parameters of confidence: how it is calibrated, and what is done where there is little of it."""

from typing import Annotated

from pydantic import Field

from slicefill.params.base import Count, Fraction, Params
from slicefill.params.computing import HardwareParams


class ConfidenceParams(Params):
    """What a model with a calibration does beside imputing."""

    cycle: bool = Field(description="also predict acquired slices back from synthetic ones: slower")
    threshold: Fraction = Field(
        description="below it, a classical method may be believed; 0: never"
    )
    margin: Fraction = Field(
        description="it is if it expects less than this share of the model's error"
    )


class CalibrationParams(Params):
    """How the expected error is learnt from volumes whose every slice is known."""

    factors: list[Annotated[int, Field(ge=2)]] = Field(
        min_length=1, description="each volume is subsampled by one of them, in turn"
    )
    voxels: Count = Field(description="drawn from each volume")
    smoothing: Annotated[int, Field(ge=0)] = Field(
        description="radius of the square over which differences are averaged, pixels"
    )
    knots: Annotated[int, Field(ge=2, le=32)] = Field(description="of the monotone map")
    seed: int = Field(description="of the drawing")
    batch_pixels: Count = Field(description="most pixels (pairs × rows × columns) in one batch")
    hardware: HardwareParams
