"""Parameters that several pipelines share: where it runs, what a network sees."""

from typing import Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import Count, Params


class HardwareParams(Params):
    """Where it runs.

    Several devices are for training alone: a process each, with a batch each. Outside training
    there is one machine, which is the default.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="auto: a GPU if there is one"
    )
    devices: Count = Field(1, description="of each machine; more than one: distributed data parallel")
    num_nodes: Count = Field(1, description="machines")
    strategy: Literal["auto", "ddp_spawn", "ddp_fork"] = Field(
        "auto", description="how processes start; auto: ddp_spawn where there are several"
    )
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        "auto", description="auto: bf16 where the processor has it"
    )

    @property
    def processes(self) -> int:
        """Devices of all machines."""
        return self.devices * self.num_nodes

    @property
    def alone(self) -> Self:
        """The same on one device, for what comes after training."""
        return self.model_copy(update={"devices": 1, "num_nodes": 1})


class WindowParams(Params):
    """Which intensities a network sees as 0 and 1; never applied to what is written."""

    kind: Literal["percentile", "fixed"] = Field(
        description="of low and high: percentiles of a case, or intensities"
    )
    low: float = Field(description="percentile of the case, or intensity (HU for CT)")
    high: float = Field(description="like low")

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low >= self.high:
            msg = f"low must be below high, got {self.low} and {self.high}"
            raise ValueError(msg)
        return self
