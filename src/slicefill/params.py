"""Typed parameters: one frozen model per pipeline; every number comes from `conf/`.

Kedro builds these before any node runs, so an unknown key or a value out of bounds stops
the run at once with the name of the field.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

AxisName = Literal["auto", "S", "A", "L"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitParams(_Params):
    """How cases are divided, always by person."""

    file: str | None = Field(description="CSV with columns case, split (and fold); null: seeded")
    train: Fraction
    validation: Fraction
    test: Fraction
    folds: Annotated[int, Field(ge=2)] = Field(description="k of the k-fold column")
    stratify: bool = Field(description="balance persons with and without labels")
    seed: int

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            msg = f"train + validation + test must be 1, got {total:g}"
            raise ValueError(msg)
        return self


class LabelParams(_Params):
    """Which label ids are expected and how they are merged."""

    need: Literal["required", "optional", "ignored"]
    names: dict[int, str] = Field(description="id after merging → name; 0 is the background")
    groups: dict[int, list[int]] | None = Field(description="new id → ids in the file; null: as is")
    unlisted: Literal["refuse", "background", "keep"] = Field(description="ids in no group or name")


class IngestionParams(_Params):
    """What the raw folder looks like and what a good case is."""

    layout: Literal["folder", "msd", "bids", "dicom"]
    bids_suffix: str = Field(description="BIDS image suffix, e.g. T2w")
    channel: Annotated[int, Field(ge=0)] | Literal["all"] | None = Field(
        description="channel of 4D images: an index, all of them, or null to refuse 4D"
    )
    person_pattern: str = Field(description="regex with one group, matched on the case id")
    cases_per_person: Count = Field(description="n: numeric ids kn-n+1 … kn are one person")
    through_plane: AxisName
    affine_tolerance: Positive = Field(description="sform against qform, image against label, mm")
    step_tolerance: Positive = Field(description="uneven DICOM slice steps, fraction of the step")
    labels: LabelParams
    strict: bool = Field(description="stop at the first bad case instead of quarantining it")
    limit: Count | None = Field(description="at most so many cases, drawn by split.seed; null: all")
    split: SplitParams


class AnisotropizationParams(_Params):
    """How an isotropic volume is made thick: eq. (19), with an optional slice profile."""

    axis: AxisName
    factor: Count = Field(description="every factor-th slice is kept; 1 keeps all")
    profile: Literal["point", "box", "gaussian"] = Field(
        description="what one thick slice averages"
    )
    fwhm: Positive | None = Field(description="width of the profile, mm; null for point")

    @model_validator(mode="after")
    def _profile_has_width(self) -> Self:
        if (self.profile == "point") != (self.fwhm is None):
            msg = f"profile {self.profile} with fwhm {self.fwhm}: only point has none"
            raise ValueError(msg)
        return self


class LossWeights(_Params):
    """The λ of eq. (6), for intensities in [0, 1] and flows in pixels."""

    rec: Weight
    per: Weight
    warp: Weight
    smooth: Weight
    adv: Weight
    tp_smooth: Weight


class Variant(_Params):
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


class NetworkParams(_Params):
    """Size of the flow network; the paper's is width 32, depth 5."""

    width: Annotated[int, Field(ge=4)]
    depth: Annotated[int, Field(ge=1, le=6)]
    time_form: Literal["linear_motion", "printed"] = Field(description="eq. (1): t² or t, see docs")


class GroupParams(_Params):
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


class OptimisationParams(_Params):
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


class HardwareParams(_Params):
    """Where it runs."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Literal[1] = Field(description="more than one is not supported yet")
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        description="auto: bf16 where the processor has it"
    )


class WindowParams(_Params):
    """Which intensities a network sees as 0 and 1; never applied to what is written."""

    kind: Literal["percentile", "fixed"]
    low: float = Field(description="percentile of the case, or intensity (HU for CT)")
    high: float

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low >= self.high:
            msg = f"low must be below high, got {self.low} and {self.high}"
            raise ValueError(msg)
        return self


class SynthesisParams(_Params):
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


class ImputationParams(_Params):
    """How the gaps are filled."""

    methods: list[str] = Field(min_length=1)
    cases: Literal["test", "all"]
    through_plane: AxisName
    count: Annotated[int, Field(ge=0)] | Literal["N_A"] | None = Field(
        description="synthetic slices per gap: fixed, or eq. (20); null: use target_spacing"
    )
    target_spacing: Positive | None = Field(description="mm; the nearest grid that keeps slices")
    batch_pixels: Count = Field(description="most pixels (pairs × rows × columns) in one batch")
    label_field: Literal["one_hot", "signed_distance"] = Field(
        description="how a model warps labels: eq. (5), or by shape"
    )
    ensemble: bool = Field(description="average a model's motion over mirrored slices: 4 × slower")
    window: WindowParams = Field(description="for classical methods; a model brings its own")
    hardware: HardwareParams

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.count is None) == (self.target_spacing is None):
            msg = f"set one of count and target_spacing, got {self.count}, {self.target_spacing}"
            raise ValueError(msg)
        return self


class EvaluationParams(_Params):
    """How synthetic slices are scored and shown."""

    body_quantile: Fraction = Field(description="body mask: above this share of the data range")
    label_names: dict[int, str] = Field(description="id → name; 0, the background, is not scored")
    reference_methods: list[str] = Field(description="the best of these is compared against")
    bootstrap_samples: Count
    confidence: Fraction
    seed: int
    figure_cases: Count = Field(description="cases drawn in full")
    figure_methods: list[str]
