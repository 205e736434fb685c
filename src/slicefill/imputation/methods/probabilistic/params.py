"""Parameters of probabilistic imputation: its network, what it learns from, how many samples."""

from typing import Annotated, Self

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

STRIDE = (4, 8, 8)
"""Voxels of the coarsest level: slices, rows, columns."""


class SamplingNetworkParams(BaseParams):
    """Size of the network."""

    widths: tuple[Count, Count, Count, Count] = Field(
        description="channels of the four levels, finest first"
    )
    latents: tuple[Count, Count, Count] = Field(
        description="latents per position of the second, third and coarsest level"
    )
    residual: Fraction = Field(
        description="bound of what is added to the candidates, on intensities in [0, 1]"
    )


class WindowsParams(BaseParams):
    """What is learned from."""

    factors: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        min_length=1, description="intervals, drawn evenly"
    )
    size: tuple[Count, Count, Count] = Field(description="voxels: slices, rows, columns")
    batch: Count = Field(description="windows of a step")
    cache_gb: Positive = Field(description="bound on the volumes held in memory")

    @model_validator(mode="after")
    def _sizes_can_be_halved(self) -> Self:
        if any(size % least for size, least in zip(self.size, STRIDE, strict=True)):
            msg = f"size: expected multiples of {list(STRIDE)}, got {list(self.size)}"
            raise ValueError(msg)
        return self


class SamplingLossParams(BaseParams):
    """What is minimised."""

    image: Weight = Field(description="of the Laplacian pyramid")
    label: Weight = Field(description="of the cross-entropy of labels")
    error: Weight = Field(description="of the likelihood of the predicted error")
    divergence: Weight = Field(description="of the Kullback-Leibler divergence, nats per voxel")
    levels: Count = Field(description="of the pyramid")
    coarse: Positive = Field(description="weight of a level, as a multiple of the next finer one")
    strictness: Annotated[float, Field(ge=1)] = Field(
        description="weight beside an acquired slice, as a multiple of that half-way between two"
    )
    prior: Fraction = Field(
        description="share of the steps whose latents are the prior's, as where nothing is known; "
        "without them the posterior tells what the prior cannot (Sohn et al., 2015, the hybrid)"
    )
    warm_up: Fraction = Field(
        description="share of the steps over which the divergence gets its weight"
    )


class SamplingOptimisationParams(BaseParams):
    """Adam and how long it runs."""

    learning_rate: Positive = Field(description="at the start; it falls as a cosine")
    gradient_clip: Positive | None = Field(description="global norm, see `slice_imputation`")
    epochs: Count = Field(description="at most")
    steps_per_epoch: Count = Field(description="an epoch ends with validation and a saved state")
    seed: int = Field(description="of weights, windows and latents")


class Params(BaseParams):
    """Training and use of probabilistic imputation."""

    samples: Annotated[int, Field(ge=2)] = Field(description="imputations of a scan")
    network: SamplingNetworkParams
    windows: WindowsParams
    loss: SamplingLossParams
    optimisation: SamplingOptimisationParams
    through_plane: AxisName
    window: WindowParams
    hardware: HardwareParams = HardwareParams()

    def repeated(self, number: int) -> Self:
        """Return the same for another training: with the seed that is so much larger."""
        options = self.optimisation
        own = options.model_copy(update={"seed": options.seed + number})
        return self.model_copy(update={"optimisation": own})
