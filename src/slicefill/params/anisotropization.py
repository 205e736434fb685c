"""Parameters of the anisotropization pipeline."""

from typing import Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import AxisName, Count, Params, Positive


class AnisotropizationParams(Params):
    """How an isotropic volume is made thick: eq. (19), with an optional slice profile."""

    axis: AxisName
    factor: Count = Field(description="every factor-th slice is kept; 1 keeps all")
    profile: Literal["point", "box", "gaussian"] = Field(
        description="what one thick slice averages"
    )
    fwhm: Positive | None = Field(description="width of the profile, mm; null for point")

    @model_validator(mode="after")
    def _profile_has_width(self) -> Self:
        if (self.profile == "point") != (self.fwhm is None):
            msg = f"profile {self.profile} with fwhm {self.fwhm}: only point has none"
            raise ValueError(msg)
        return self
