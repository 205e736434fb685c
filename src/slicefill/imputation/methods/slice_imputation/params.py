"""Parameters of Slice Imputation: its parts, λ, networks and training."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import (
    AxisName,
    Count,
    Fraction,
    HardwareParams,
    Positive,
    Weight,
    WindowParams,
)
from slicefill.params.base import Params as BaseParams

TUNED = "tuned"
"""The preset that takes the values that tuning found for the experiment, where tuning was run."""

LossWeights = dict[str, Weight]
"""λ of eq. (6) by name of the loss term; absent means 0.

The terms are the functions of `losses.py`; λ are for intensities in [0, 1] and flows in pixels.
"""


class Parts(BaseParams):
    """Which parts of Slice Imputation take part; the defaults are those of the paper."""

    tp_smooth: bool = Field(True, description="has the smoothness across slices, eq. (12)")
    global_discriminator: bool = Field(
        True, description="has the discriminator of whole slices, eq. (13)"
    )
    local_discriminator: bool = Field(
        True, description="has that of attended slices, and the classifier, eq. (14)"
    )
    classifier: Literal["joint", "pretrained"] = Field(
        "joint",
        description="pretrained: classifier and attention are trained first and apart, as IIA",
    )
    refinement: bool = Field(
        False, description="Super-SloMo's second network: residual flows and visibility"
    )
    residual: Fraction = Field(
        0.0,
        description="bound of what refinement may add to intensities in [0, 1]; 0: none",
    )
    mix: bool = Field(
        False, description="refinement chooses between motion and linear interpolation"
    )
    context: bool = Field(
        False, description="both networks see the slices beyond the two as well: four in all"
    )
    error: bool = Field(False, description="refinement predicts its own absolute error")
    frequency: Weight = Field(
        0.0,
        description="the residual has a part of high frequencies: standard deviation of the "
        "low-pass that it is above, in intervals; 0: it is not divided",
    )

    @model_validator(mode="after")
    def _parts_of_refinement_need_it(self) -> Self:
        for name in ("residual", "mix", "error"):
            value = getattr(self, name)
            if value and not self.refinement:
                msg = f"{name}: {str(value).lower()} needs refinement: true"
                raise ValueError(msg)
        if self.frequency and not self.residual:
            msg = f"frequency: {self.frequency:g} needs a residual above 0"
            raise ValueError(msg)
        return self


class NetworkParams(BaseParams):
    """Size of the flow network; the paper's is width 32, depth 5."""

    width: Annotated[int, Field(ge=4)] = Field(description="channels of the first level")
    depth: Annotated[int, Field(ge=1, le=6)] = Field(description="number of halvings")
    time_form: Literal["linear_motion", "printed"] = Field(description="eq. (1): t² or t, see docs")
    block: Count = Field(
        description="pixels a side that are one position of the networks; 1: as Super-SloMo's"
    )


class GroupParams(BaseParams):
    """How training groups of N + 2 slices are drawn."""

    inner: tuple[Count, Count] | Literal["N_A"] = Field(
        description="smallest and largest N, through-plane; N_A: of each case, eq. (20)"
    )
    through_plane: Weight = Field(description="share of groups across acquired slices (paper)")
    in_plane: Weight = Field(
        description="share of groups from rows and columns, at the interval of use"
    )
    in_plane_factor: Count | None = Field(
        description="interval of use in pixels; null: from spacing"
    )
    crop: tuple[Count, Count] = Field(description="pixels; smaller slices are padded")
    background_keep: Fraction = Field(description="share kept of groups that show only background")
    reverse: bool = Field(description="reverse the order of a group at random")
    flip: bool = Field(description="flip rows and columns at random")
    cache_gb: Positive = Field(description="bound on the volumes held in memory")


class OptimisationParams(BaseParams):
    """Adam and how long it runs."""

    frozen: tuple[Literal["flow_network", "refinement"], ...] = Field(
        description="parts of the synthesis network that keep the weights they start with"
    )
    learning_rate: Positive = Field(description="of the synthesis network")
    critic_learning_rate: Positive = Field(
        description="of discriminators, attention and classifier"
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        description="over which the learning rate rises"
    )
    decay: Literal["constant", "cosine"] = Field(description="of the learning rate, after that")
    gradient_clip: Annotated[float, Field(ge=1)] | None = Field(
        description="bound on the global norm, as a multiple of its running mean; null: off"
    )
    batch: Count = Field(description="groups in a step")
    epochs: Count = Field(description="at most")
    minutes: Positive | None = Field(
        description="at most, validation included; null: no limit. With one, what is learned "
        "depends on the machine"
    )
    groups_per_epoch: Count | None = Field(description="null: every group once")
    pretraining_epochs: Annotated[int, Field(ge=0)] = Field(
        description="for classifier: pretrained"
    )
    keep: Literal["best", "last"] = Field(
        description="epoch: the last, or that of the best validation PSNR; always the last where "
        "critics take part, because PSNR selects against them"
    )
    patience: Count = Field(
        description="epochs without a better validation before stopping; where the best is kept"
    )
    validation_groups: Count = Field(description="most held-out groups scored per epoch")
    seed: int = Field(description="of weights, groups and their order")


class SynthesisParams(BaseParams):
    """Training of a synthesis network."""

    parts: Parts = Field(Parts(), description="what takes part; the default is the paper's")
    preset: str = Field(description="which of `weights` is used")
    weights: dict[str, LossWeights] = Field(description="presets of λ, by name")
    perceptual: str = Field(description="none, hub (ImageNet VGG16) or a file with its weights")
    network: NetworkParams
    critic_width: Count = Field(description="channels of the critics' first level")
    through_plane: AxisName
    groups: GroupParams
    optimisation: OptimisationParams
    window: WindowParams
    hardware: HardwareParams = HardwareParams()

    @model_validator(mode="after")
    def _preset_is_defined(self) -> Self:
        if self.preset not in self.weights:
            msg = f"{self.preset!r} is not defined; there is {', '.join(self.weights)}"
            raise ValueError(msg)
        if self.perceptual == "none" and "per" in self.lambdas:
            msg = (
                f"weights.{self.preset}.per is {self.lambdas['per']:g} but perceptual is "
                "none: set perceptual to hub or a file, or choose a preset with per: 0"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _frequencies_need_pixels(self) -> Self:
        if self.parts.frequency and self.network.block != 1:
            msg = f"parts.frequency needs network.block: 1, got {self.network.block}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _some_part_learns(self) -> Self:
        parts = ["flow_network", "refinement"] if self.parts.refinement else ["flow_network"]
        frozen = self.optimisation.frozen
        if not set(frozen) < set(parts):
            msg = (
                "optimisation.frozen: expected some, but not all, of the parts of the network, "
                f"{', '.join(parts)}; got {', '.join(frozen)}"
            )
            raise ValueError(msg)
        return self

    @property
    def pretraining_epochs(self) -> int:
        """Epochs of classifier and attention apart; 0 unless the parts ask for them."""
        apart = self.parts.classifier == "pretrained" and self.parts.local_discriminator
        return self.optimisation.pretraining_epochs if apart else 0

    @property
    def lambdas(self) -> dict[str, float]:
        """The λ in force, all above 0: the preset's, without those of parts that are left out."""
        left_out = {
            "tp_smooth": not self.parts.tp_smooth,
            "adv": not (self.parts.global_discriminator or self.parts.local_discriminator),
            "error": not self.parts.error,
            "high": not self.parts.frequency,
            "adv_high": not self.parts.frequency,
        }
        given = self.weights[self.preset]
        return {
            name: weight
            for name, weight in given.items()
            if weight > 0 and not left_out.get(name, False)
        }

    @property
    def cutoff(self) -> float:
        """Low-pass of the high-frequency target, intervals; 0 where nothing asks for it."""
        asked = {"high", "adv_high"} & self.lambdas.keys()
        return self.parts.frequency if asked else 0.0

    @property
    def keeps_last(self) -> bool:
        """Whether the last epoch is kept, whatever its PSNR."""
        against_critics = any(name.startswith("adv") for name in self.lambdas)
        return self.optimisation.keep == "last" or against_critics

    @property
    def adversarial(self) -> bool:
        """Whether critics learn beside the synthesis network."""
        of_slices = self.parts.global_discriminator or self.parts.local_discriminator
        return of_slices or any(name.startswith("adv_") for name in self.lambdas)

    def repeated(self, number: int) -> Self:
        """Return the same for another training: with the seed that is so much larger."""
        seed = self.optimisation.seed + number
        options = self.optimisation.model_copy(update={"seed": seed})
        return self.model_copy(update={"optimisation": options})

    @property
    def in_force(self) -> dict[str, Any]:
        """All that training depends on: presets that are not chosen are left out."""
        plain = self.model_dump(exclude={"preset", "weights"})
        return {**plain, "lambdas": self.lambdas}
