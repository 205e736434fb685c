"""What all parameter models share: frozen, nothing unknown, names for ranges of numbers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

AxisName = Literal["auto", "S", "A", "L"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Params(BaseModel):
    """Parameters from `conf/`: an unknown key or a value out of bounds stops the run at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")
