"""Parameters of the pretraining pipeline: which volumes the shipped weights learn from."""

from typing import Annotated

from pydantic import Field

from slicefill.params.base import Count, Fraction, Params
from slicefill.params.domain import DomainParams
from slicefill.params.trust import CalibrationParams


class PretrainingParams(Params):
    """Procedural volumes; how the network learns from them is in `synthesis`."""

    size: Annotated[int, Field(ge=32)] = Field(description="voxels along each axis of a volume")
    brain_share: Fraction = Field(description="of deformed average brains among the volumes")
    training: Count = Field(description="volumes that are learned from")
    validation: Count = Field(description="volumes that choose the epoch")
    calibration: Count = Field(description="volumes that trust is calibrated on")
    seed: int = Field(description="of the first volume; the others count on from it")
    trust: CalibrationParams
    domain: DomainParams
