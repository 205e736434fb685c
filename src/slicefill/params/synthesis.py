"""Parameters of the synthesis pipeline."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import AxisName, Count, Fraction, Params, Positive, Weight
from slicefill.params.computing import HardwareParams, WindowParams


class LossWeights(Params):
    """The λ of eq. (6), for intensities in [0, 1] and flows in pixels."""

    rec: Weight
    per: Weight
    warp: Weight
    smooth: Weight
    adv: Weight
    tp_smooth: Weight


class Variant(Params):
    """Which parts of Slice Imputation take part."""

    tp_smooth: bool
    global_discriminator: bool
    local_discriminator: bool
    classifier: Literal["joint", "pretrained"] = Field(
        description="pretrained: classifier and attention are trained first and apart, as IIA"
    )
    refinement: bool = Field(description="Super-SloMo's second net: residual flows and visibility")
    residual: Fraction = Field(
        description="bound of what refinement may add to intensities in [0, 1]; 0: none, as printed"
    )

    @model_validator(mode="after")
    def _residual_needs_refinement(self) -> Self:
        if self.residual > 0 and not self.refinement:
            msg = f"residual {self.residual} needs refinement: true"
            raise ValueError(msg)
        return self


class NetworkParams(Params):
    """Size of the flow network; the paper's is width 32, depth 5."""

    width: Annotated[int, Field(ge=4)]
    depth: Annotated[int, Field(ge=1, le=6)]
    time_form: Literal["linear_motion", "printed"] = Field(description="eq. (1): t² or t, see docs")


class GroupParams(Params):
    """How training groups of N + 2 slices are drawn."""

    inner: tuple[Count, Count] = Field(description="smallest and largest N, through-plane")
    through_plane: Weight = Field(description="share of groups across acquired slices (paper)")
    in_plane: Weight = Field(description="share of groups from rows and columns, at the gap of use")
    in_plane_factor: Count | None = Field(description="gap of use in pixels; null: from spacing")
    crop: tuple[Count, Count] = Field(description="pixels; smaller slices are padded")
    background_keep: Fraction = Field(description="share kept of groups that show only background")
    reverse: bool = Field(description="reverse the order of a group at random")
    flip: bool = Field(description="flip rows and columns at random")
    cache_gb: Positive = Field(description="bound on the volumes held in memory")


class OptimisationParams(Params):
    """Adam and how long it runs."""

    learning_rate: Positive
    critic_learning_rate: Positive
    warmup_steps: Annotated[int, Field(ge=0)]
    decay: Literal["constant", "cosine"]
    gradient_clip: Positive | None = Field(description="global norm; null: off")
    batch: Count
    epochs: Count
    groups_per_epoch: Count | None = Field(description="null: every group once")
    pretraining_epochs: Annotated[int, Field(ge=0)] = Field(
        description="for classifier: pretrained"
    )
    patience: Count = Field(description="epochs without a better validation before stopping")
    validation_groups: Count = Field(description="most held-out groups scored per epoch")
    seed: int


class SynthesisParams(Params):
    """Training of the slice synthesis model."""

    variant: str
    variants: dict[str, Variant]
    preset: str = Field(description="which of `weights` is used")
    weights: dict[str, LossWeights]
    perceptual: str = Field(description="none, hub (ImageNet VGG16) or a file with its weights")
    network: NetworkParams
    critic_width: Count
    through_plane: AxisName
    groups: GroupParams
    optimisation: OptimisationParams
    window: WindowParams
    hardware: HardwareParams

    @model_validator(mode="after")
    def _names_are_defined(self) -> Self:
        for name, table in ((self.variant, self.variants), (self.preset, self.weights)):
            if name not in table:
                msg = f"{name!r} is not defined; there is {', '.join(table)}"
                raise ValueError(msg)
        if self.perceptual == "none" and self.weights[self.preset].per > 0:
            msg = (
                f"weights.{self.preset}.per is {self.weights[self.preset].per} but perceptual is "
                "none: set perceptual to hub or a file, or choose a preset with per: 0"
            )
            raise ValueError(msg)
        return self

    @property
    def parts(self) -> Variant:
        """The parts of the chosen variant."""
        return self.variants[self.variant]

    @property
    def pretraining_epochs(self) -> int:
        """Epochs of classifier and attention apart; 0 unless the variant asks for them."""
        apart = self.parts.classifier == "pretrained" and self.parts.local_discriminator
        return self.optimisation.pretraining_epochs if apart else 0

    @property
    def lambdas(self) -> dict[str, float]:
        """The λ in force: the preset's, with what the variant leaves out at zero."""
        lambdas = self.weights[self.preset].model_dump()
        if not self.parts.tp_smooth:
            lambdas["tp_smooth"] = 0.0
        if not (self.parts.global_discriminator or self.parts.local_discriminator):
            lambdas["adv"] = 0.0
        return lambdas
