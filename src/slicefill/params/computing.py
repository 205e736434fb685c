"""Parameters that several pipelines share: where it runs, what a network sees."""

from typing import Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import Count, Params


class HardwareParams(Params):
    """Where it runs."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Count = Field(
        description="more than one: distributed data parallel, segmentation only"
    )
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        description="auto: bf16 where the processor has it"
    )


class WindowParams(Params):
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
