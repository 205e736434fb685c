"""Parameters of view fusion: its networks, and how they learn."""

from typing import Annotated, Any, Self

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

Factor = Annotated[int, Field(ge=2)]


class FusionNetworkParams(BaseParams):
    """Size of the networks."""

    widths: tuple[Count, ...] = Field(
        min_length=2, description="channels of each level of the U-Net, finest first"
    )
    blocks: tuple[Count, ...] = Field(description="pairs of convolutions of each level")
    head: Count = Field(description="channels of the head, which runs once per synthetic slice")
    block: Count = Field(description="pixels a side that are one position of the finest level")
    residual: Fraction = Field(
        description="bound of what the head may add to intensities in [0, 1]"
    )

    @model_validator(mode="after")
    def _levels_agree(self) -> Self:
        if len(self.widths) != len(self.blocks):
            msg = f"blocks: expected one number for each of widths {self.widths}, got {self.blocks}"
            raise ValueError(msg)
        return self


class FusionWindowParams(BaseParams):
    """Which parts of volumes are learned from."""

    slices: Annotated[int, Field(ge=2)] = Field(description="acquired slices that are seen at once")
    factors: tuple[Factor, ...] = Field(
        min_length=1, description="intervals, drawn evenly from this list; repeats weigh"
    )
    crops: tuple[Count, ...] = Field(
        min_length=1, description="pixels a side, drawn evenly from this list"
    )
    pixels: Count = Field(description="of all windows of a step, per slice: batch times crop²")
    held: Count = Field(description="volumes in memory that are drawn from")
    fresh: Count = Field(description="of these, how many are replaced by new ones per epoch")


class FusionOptimisationParams(BaseParams):
    """Adam and how long it runs."""

    learning_rate: Positive = Field(description="of all weights that learn")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        description="over which the learning rate rises"
    )
    decay: Fraction = Field(
        description="share of `minutes`, at the end, over which the learning rate falls to 1 %"
    )
    average: Fraction = Field(
        description="share of the old value in the running mean of the weights, per step"
    )
    error: Weight = Field(description="λ of the likelihood of the predicted error")
    gradient_clip: Positive | None = Field(description="global norm; null: off")
    steps_per_epoch: Count = Field(description="an epoch ends with validation and a saved state")
    epochs: Count = Field(description="at most")
    minutes: Positive | None = Field(
        description="at most, in all stretches; null: no limit, and no decay. It can be changed "
        "between stretches: a lower one begins the decay"
    )
    seed: int = Field(description="of weights, windows and their order")


class ViewFusionParams(BaseParams):
    """Training of view fusion."""

    network: FusionNetworkParams
    windows: FusionWindowParams
    optimisation: FusionOptimisationParams
    through_plane: AxisName
    window: WindowParams
    hardware: HardwareParams = HardwareParams()

    @property
    def in_force(self) -> dict[str, Any]:
        """All that training depends on but its length, which may change between stretches."""
        plain = self.model_dump(exclude={"hardware"})
        for length in ("epochs", "minutes", "decay"):
            del plain["optimisation"][length]
        return plain
