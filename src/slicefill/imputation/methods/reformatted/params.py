"""Parameters of the network of reformatted planes, and how it learns."""

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


class PlaneNetworkParams(BaseParams):
    """Size of the network."""

    slices: Annotated[int, Field(ge=2, multiple_of=2)] = Field(
        description="acquired slices that are seen at once, half of them on either side"
    )
    beside: Annotated[int, Field(ge=0)] = Field(
        description="planes on either side of the one that is made, which are seen, too"
    )
    widths: tuple[Count, ...] = Field(
        min_length=1, description="channels of each level; each level halves the pixels of a row"
    )
    kernel: Count = Field(description="pixels of a convolution along a row; odd")
    head: Count = Field(description="channels of what runs once per synthetic slice")

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> Self:
        if self.kernel % 2 == 0:
            msg = f"kernel: expected an odd number of pixels, got {self.kernel}"
            raise ValueError(msg)
        return self


class PlanePatchParams(BaseParams):
    """What is learned from: patches of photographs and of reformatted planes."""

    factors: tuple[Factor, ...] = Field(
        min_length=1, description="intervals, drawn evenly from this list; repeats weigh"
    )
    intervals: Count = Field(description="of a patch")
    width: Count = Field(description="of a patch, pixels")
    batch: Count = Field(description="patches of a step")
    photographs: Fraction = Field(
        description="share of patches from the photographs of scikit-image; the rest is cut from "
        "volumes"
    )
    shrink_photographs: Annotated[float, Field(ge=1)] = Field(
        description="most that a photograph is shrunk along each of its axes, on its own"
    )
    shrink_volumes: Annotated[float, Field(ge=1)] = Field(
        description="the same of a plane of a volume"
    )
    motion: Weight = Field(
        description="largest standard deviation of how far a photograph moves from a plane to the "
        "next, pixels"
    )
    overlaid: Fraction = Field(
        description="share of photographs that another lies upon, which moves in its own way"
    )
    noise: tuple[Weight, ...] = Field(
        min_length=1,
        description="standard deviations of what acquired slices get beside their own noise, in "
        "those of the patch, drawn evenly; synthetic slices are to be made without it",
    )
    held: Count = Field(description="volumes in memory that are drawn from")
    fresh: Annotated[int, Field(ge=0)] = Field(
        description="of these, how many are replaced by new ones per epoch"
    )


class PlaneOptimisationParams(BaseParams):
    """Adam; its rate falls from the first step to the last as a cosine does."""

    learning_rate: Positive = Field(description="at the start")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(description="over which the rate rises first")
    average: Fraction = Field(
        description="share of the old value in the running mean of the weights, per step"
    )
    gradient_clip: Positive | None = Field(
        description="of the norm, as a multiple of its running mean; null: off"
    )
    steps_per_epoch: Count = Field(description="an epoch ends with validation and a saved state")
    epochs: Count = Field(description="all of them run")
    seed: int = Field(description="of weights, patches and their order")


class ReformattedParams(BaseParams):
    """Training of the network of reformatted planes."""

    network: PlaneNetworkParams
    patches: PlanePatchParams
    optimisation: PlaneOptimisationParams
    through_plane: AxisName
    window: WindowParams
    hardware: HardwareParams = HardwareParams()

    @property
    def in_force(self) -> dict[str, Any]:
        """All that training depends on."""
        return self.model_dump(exclude={"hardware"})
