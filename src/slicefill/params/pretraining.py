"""Parameters of pretraining: the volumes of the shipped weights, and their calibration."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from slicefill.params.base import Count, Fraction, HardwareParams, Params


class CalibrationParams(Params):
    """How the expected error is learned from volumes whose every slice is known."""

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
    hardware: HardwareParams = HardwareParams()


class PretrainingParams(Params):
    """Procedural volumes; how the network learns from them is in `synthesis`."""

    size: Annotated[int, Field(ge=32)] = Field(description="voxels along each axis of a volume")
    brain_fraction: Fraction = Field(description="of deformed average brains among the volumes")
    body_fraction: Fraction = Field(
        description="of bodies in air, whose outlines move fast from slice to slice"
    )
    training: Count = Field(description="volumes that are learned from")
    validation: Count = Field(description="volumes that choose the epoch")
    calibration: Count = Field(description="volumes that confidence is calibrated on")
    seed: int = Field(description="of the first volume; the others count on from it")
    confidence: CalibrationParams

    @model_validator(mode="after")
    def _fractions_fit(self) -> Self:
        if self.brain_fraction + self.body_fraction > 1:
            msg = (
                "expected brain_fraction + body_fraction of at most 1, got "
                f"{self.brain_fraction} + {self.body_fraction}"
            )
            raise ValueError(msg)
        return self
