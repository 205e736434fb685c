"""Parameters of the tuning pipeline."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from slicefill.params.base import Count, Params, Positive


class Range(Params):
    """A range that values are drawn from."""

    low: float
    high: float
    log: bool = Field(description="draw on a logarithmic scale")

    @model_validator(mode="after")
    def _can_be_drawn_from(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            msg = f"expected low < high, and low > 0 where log is true, got {self.low}, {self.high}"
            raise ValueError(msg)
        return self


class Choices(Params):
    """Values to choose among."""

    choices: list[bool | int | float | str] = Field(min_length=2)


class TuningParams(Params):
    """The search for λ and training parameters by cross-validation."""

    study: str = Field(description="name of the study in its storage")
    storage: SecretStr | None = Field(
        description="URL of a database that workers share; null: a journal file"
    )
    space: dict[str, Range | Choices | None] = Field(
        description="`weights.<λ>` or a dotted name in `synthesis` → what to try; null: not tuned"
    )
    start: list[str] = Field(description="presets in `synthesis.weights` that are tried first")
    overrides: dict[str, Any] = Field(
        description="dotted name in `synthesis` → its value during tuning"
    )
    objectives: list[str] = Field(
        min_length=1, description="of `tuning/objectives.py`; several: a Pareto front"
    )
    segmentation_engine: str = Field(description="of downstream_dice")
    trials: Count = Field(description="by all workers together")
    minutes: Positive | None = Field(description="a worker starts no trial after; null: no limit")
    startup_trials: Annotated[int, Field(ge=0)] = Field(
        description="drawn at random, and never pruned, before the history is made use of"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(description="stops hopeless trials")
    warmup_epochs: Annotated[int, Field(ge=1)] = Field(
        description="epochs, counted over the folds, before a trial may be stopped"
    )
    retries: Annotated[int, Field(ge=0)] = Field(
        description="how often a trial is started again when its worker died"
    )
    heartbeat: Count = Field(description="seconds between signs of life in a database")
    features_gb: Positive = Field(description="bound on the VGG features of targets in memory")
    seed: int = Field(description="of the sampler")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.tuned:
            msg = "space: expected at least one name to tune, got none"
            raise ValueError(msg)
        if len(set(self.objectives)) < len(self.objectives):
            msg = f"objectives: expected each once, got {', '.join(self.objectives)}"
            raise ValueError(msg)
        return self

    @property
    def tuned(self) -> dict[str, Range | Choices]:
        """The space without what is not tuned."""
        return {name: tried for name, tried in self.space.items() if tried is not None}
