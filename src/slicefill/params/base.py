"""What all parameter models share: frozen, nothing unknown, names for ranges of numbers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

AxisName = Annotated[
    Literal["auto", "S", "A", "L"],
    Field(description="slices lie across the axis nearest to it; auto: the largest spacing"),
]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def as_plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return sections as plain values: Kedro has turned into models what a node asks for so."""
    return {
        name: section.model_dump() if isinstance(section, BaseModel) else section
        for name, section in parameters.items()
    }


class Params(BaseModel):
    """Parameters from `conf/`: an unknown key or a value out of bounds stops the run at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")
