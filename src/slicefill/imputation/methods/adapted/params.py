"""Parameters of adaptation: how the shipped weights learn from the scans that are imputed."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from slicefill.imputation.methods.slice_imputation.params import (
    GroupParams,
    LossWeights,
    OptimisationParams,
)
from slicefill.params.base import AxisName, Count, HardwareParams, Params, Weight

GAINS = ("gain_db", "standard_error", "groups", "better", "p", "ssim_gain", "ssim_fall_p")
"""What is known of the gain on held-out groups of one kind."""
DICE_GAINS = ("dice_gain", "dice_fall_p")
"""What is known of the labels of held-out slices."""


class AdaptationParams(Params):
    """Training of the shipped weights on the scans that are to be imputed."""

    cases: Count = Field(description="most scans that are learned from, drawn by the seed")
    subjects: Annotated[int, Field(ge=2)] = Field(
        description="with at least so many, some subjects are held out; else slices of every scan"
    )
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="share of the subjects, or of the slices, that the gain is measured on"
    )
    least_gain: Weight = Field(
        description="dB on held-out slices of every kind; with less, the shipped weights are kept"
    )
    largest_p: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="of a signed-rank test over the held-out groups; every kind needs it"
    )
    fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        description="of the way from the shipped weights to those that training ends with"
    )
    weights: LossWeights = Field(description="λ; critics take part where adv is above 0")
    perceptual: str = Field(description="none, hub (ImageNet VGG16) or a file with its weights")
    critic_width: Count = Field(description="channels of the critics' first level")
    through_plane: AxisName
    groups: GroupParams
    optimisation: OptimisationParams
    hardware: HardwareParams = HardwareParams()

    @model_validator(mode="after")
    def _time_is_limited(self) -> Self:
        if self.optimisation.minutes is None:
            msg = "optimisation.minutes: expected a number of minutes, got null"
            raise ValueError(msg)
        return self

    def within(self, minutes: float) -> Self:
        """Return the same with another limit of time."""
        return self._optimised(minutes=minutes)

    def scoring(self, groups: int) -> Self:
        """Return the same with another number of held-out groups to score at most."""
        return self._optimised(validation_groups=groups)

    def _optimised(self, **changes: float) -> Self:
        changed = self.optimisation.model_copy(update=changes)
        return self.model_copy(update={"optimisation": changed})


_GROUPS = {
    "inner": (1, 1),
    "through_plane": 1.0,
    "in_plane": 3.0,
    "in_plane_factor": None,
    "crop": (64, 64),
    "background_keep": 0.1,
    "reverse": True,
    "flip": True,
    "cache_gb": 4.0,
}
_OPTIMISATION = {
    "frozen": ["flow_network"],
    "minutes": 5.0,
    "learning_rate": 2.0e-4,
    "critic_learning_rate": 1.0e-3,
    "warmup_steps": 20,
    "decay": "cosine",
    "gradient_clip": 2.0,
    "batch": 8,
    "epochs": 1000,
    "groups_per_epoch": 600,
    "pretraining_epochs": 0,
    "keep": "best",
    "patience": 30,
    "validation_groups": 60,
    "seed": 0,
}


def default_params(through_plane: AxisName, hardware: HardwareParams) -> AdaptationParams:
    """Return the section `adaptation` of `conf/base`, where there is no `conf/`.

    Args:
        through_plane: The axis across the slices.
        hardware: Where it runs.
    """
    chosen = {
        "cases": 24,
        "subjects": 4,
        "held_out": 0.2,
        "least_gain": 0.05,
        "largest_p": 0.01,
        "fraction": 0.5,
        "weights": {"rec": 1.0, "error": 0.01, "cycle": 0.1},
        "perceptual": "none",
        "critic_width": 16,
        "groups": _GROUPS,
        "optimisation": _OPTIMISATION,
        "through_plane": through_plane,
        "hardware": hardware,
    }
    return AdaptationParams.model_validate(chosen)
