"""Parameters of the pretraining pipeline: which volumes the shipped weights learn from."""

from typing import Annotated

from pydantic import Field

from slicefill.params.base import Count, Fraction, Params
from slicefill.params.confidence import CalibrationParams
from slicefill.params.domain import DomainParams


class PretrainingParams(Params):
    """Procedural volumes; how the network learns from them is in `synthesis`."""

    size: Annotated[int, Field(ge=32)] = Field(description="voxels along each axis of a volume")
    brain_fraction: Fraction = Field(description="of deformed average brains among the volumes")
    training: Count = Field(description="volumes that are learned from")
    validation: Count = Field(description="volumes that choose the epoch")
    calibration: Count = Field(description="volumes that confidence is calibrated on")
    seed: int = Field(description="of the first volume; the others count on from it")
    confidence: CalibrationParams
    domain: DomainParams
