"""Parameters of the summary of what weights have seen."""

from typing import Annotated

from pydantic import Field

from slicefill.params.base import Params


class DomainParams(Params):
    """How training volumes are summarised, so that other scans can be held against them."""

    bins: Annotated[int, Field(ge=2)] = Field(description="of the histogram over the window")
    usual: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        description="share of the training volumes that count as usual; the rest is outside"
    )
    factors: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = Field(
        description="smallest and largest interval that was trained, pixels"
    )
