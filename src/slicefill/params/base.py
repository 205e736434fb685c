"""What all parameter models share, and how methods are compared and cases are evaluated."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

AxisName = Annotated[
    Literal["auto", "S", "A", "L"],
    Field(description="slices lie across the axis nearest to it; auto: the largest spacing"),
]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def as_plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return sections as plain values; Kedro passes those that nodes take as models."""
    return {
        name: section.model_dump() if isinstance(section, BaseModel) else section
        for name, section in parameters.items()
    }


def explain(error: ValidationError) -> str:
    """Return what pydantic found wrong, without its links: `count: expected …, got -1`."""
    told = {
        ".".join(str(part) for part in each["loc"] if "[" not in str(part)): each
        for each in error.errors(include_url=False)
    }
    words = []
    for name, each in told.items():
        said = each["msg"].removeprefix("Value error, ")
        given = "" if each["type"] in ("missing", "value_error") else f", got {each['input']!r}"
        words.append(f"{name}: {said}{given}".removeprefix(": "))
    return "; ".join(words)


class Params(BaseModel):
    """Parameters from `conf/`: an unknown key or a value out of bounds stops the run at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HardwareParams(Params):
    """Where it runs.

    Several devices are for training alone: a process each, with a batch each. Outside training
    there is one machine, which is the default.
    """

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field(
        "auto", description="auto: a GPU if there is one"
    )
    devices: Count = Field(1, description="of each machine; several: distributed data parallel")
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


class ExecutorParams(Params):
    """What works on the cases, and on how many at a time. It changes no result."""

    kind: Literal["serial", "processes", "dask"] = Field(description="what runs the cases")
    workers: Count | None = Field(description="processes on this machine; null: one per core")
    scheduler: str | None = Field(description="dask: address of its scheduler, tcp://host:8786")
    attempts: Count = Field(
        description="how often a case is started when its worker is lost; Dask has a setting of "
        "its own, distributed.scheduler.allowed-failures"
    )

    @model_validator(mode="after")
    def _dask_has_a_scheduler(self) -> Self:
        if self.kind == "dask" and self.scheduler is None:
            msg = (
                "kind dask: expected scheduler, the address of a Dask scheduler such as "
                "tcp://host:8786, got null; for workers on this machine set kind to processes"
            )
            raise ValueError(msg)
        return self


SERIAL = ExecutorParams(kind="serial", workers=None, scheduler=None, attempts=1)
"""One case after the other, in this process."""


class TrackingParams(Params):
    """What of a run goes to MLflow."""

    images: bool | None = Field(
        None,
        description="pictures of scans, and the reports that hold them; null: of virtual subjects",
    )


class StatisticsParams(Params):
    """How methods are compared: by subject, paired, with intervals."""

    bootstrap_samples: Count = Field(description="drawn for every interval")
    confidence_level: Fraction = Field(description="of the intervals")
    seed: int = Field(description="of the bootstrap")


class ScoreParams(Params):
    """What is scored of synthetic slices."""

    body_quantile: Fraction = Field(
        0.1, description="body mask: above this fraction of the data range"
    )
    label_names: dict[int, str] = Field(description="id → name; 0, the background, is not scored")


class EvaluationParams(ScoreParams, StatisticsParams):
    """How synthetic slices are scored and shown."""

    reference_methods: list[str] = Field(description="the best of these is compared against")
    headline: list[str] = Field(
        description="main columns of scores: in the first table and the comparison, if measured"
    )
    details: list[str] = Field(description="further columns of scores in the report, folded")
    plotted: list[str] = Field(description="columns of scores in the box plots, if measured")
    metrics: list[str] = Field(
        [], description="metrics on request that are measured, by name or its first words"
    )
    figure_cases: Count = Field(description="cases drawn in full")
    figure_methods: list[str] = Field(description="drawn, beside the truth where it is known")
    label_baseline: Literal["nearest", "linear", "cubic", "shape_based", "shape_matched"] = Field(
        description="interpolation whose labels are drawn beside those of learned methods"
    )
