"""Parameters of the fusion of views."""

from typing import Any, Literal

from pydantic import Field, field_validator

from slicefill.params.base import Fraction, Params


class FusionParams(Params):
    """How views of one subject become one image and one label map.

    Without a word: rigid registration from many starts, Gaussians of the published width.
    """

    registration: dict[str, Any] = Field(
        {"kind": "rigid"},
        description="`kind`, a file of registration/, and fields of its Params",
    )
    rule: dict[str, Any] = Field(
        {"kind": "gaussian"}, description="`kind`, a file of fusion/, and fields of its Params"
    )
    least_overlap: Fraction = Field(
        0.2, description="share of the reference's body inside a view: below, it is left out"
    )
    least_similarity: Fraction = Field(
        0.5, description="of an aligned view with the reference: below, it is left out"
    )
    least_crossing: Fraction = Field(
        0.5, description="correlation where acquired slices cross: below, a view is left out"
    )
    field: Literal["reference", "union"] = Field(
        "reference",
        description="what the result covers: the field of the reference, or that of any view",
    )
    keep_given: bool = Field(
        True, description="acquired slices of the reference keep the labels that they came with"
    )

    @field_validator("registration")
    @classmethod
    def _registration_exists(cls, entry: dict[str, Any]) -> dict[str, Any]:
        from slicefill.plugins import find_system
        from slicefill.registration import FOLDER

        find_system(FOLDER, "registration", entry)
        return entry

    @field_validator("rule")
    @classmethod
    def _rule_exists(cls, entry: dict[str, Any]) -> dict[str, Any]:
        from slicefill.fusion import find_fusion

        find_fusion(entry)
        return entry
