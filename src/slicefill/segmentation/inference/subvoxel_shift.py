"""Cost-free resolution enhancement: shifted by parts of a voxel, predicted, interleaved."""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import Count
from slicefill.params.base import Params as BaseParams

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor
    from slicefill.segmentation.scans import Scan
    from slicefill.types import Floats


class Params(BaseParams):
    """How many times finer, and what the shifted images are taken from."""

    slices: Count = Field(1, description="times finer across slices")
    rows: Count = Field(1, description="times finer along rows")
    columns: Count = Field(1, description="times finer along columns")
    interpolation: Literal["linear", "cubic", "imputed"] = Field(
        description="of the shifted image; imputed: of an imputed scan its synthetic slices"
    )
    border: Literal["inside", "extend"] = Field(
        "inside", description="the finer grid ends at the last voxel centre, or extends beyond it"
    )

    @model_validator(mode="after")
    def _imputed_scans_are_fine(self) -> Self:
        finer = max(self.slices, self.rows, self.columns) > 1
        if finer == (self.interpolation == "imputed"):
            msg = (
                "expected a factor above 1 for slices, rows or columns, or interpolation: imputed "
                f"without any, got {self.slices}, {self.rows}, {self.columns}, {self.interpolation}"
            )
            raise ValueError(msg)
        if self.interpolation == "imputed" and self.border == "extend":
            msg = "border: expected inside with interpolation: imputed, got extend"
            raise ValueError(msg)
        return self


def refine(params: Params) -> tuple[int, int, int]:
    """Say how many times finer the prediction is than the scan (`WrapperFile`)."""
    return params.slices, params.rows, params.columns


def extends(params: Params) -> set[str]:
    """Name the axes along which the finer grid goes on beyond the scan (`WrapperFile`)."""
    finer = {"slices": params.slices, "rows": params.rows, "columns": params.columns}
    return {axis for axis, times in finer.items() if times > 1 and params.border == "extend"}


def wrap(predictor: "Predictor", params: Params) -> "Predictor":
    """Return a predictor on the finer grid (`WrapperFile`).

    Every shifted scan has the spacing of the scan: the network sees what it was trained on.
    """
    from slicefill.segmentation.subvoxel import in_phases, subvoxel_shift

    interpolation = params.interpolation
    if interpolation == "imputed":
        return in_phases(predictor)

    def predict(scan: "Scan") -> "Floats":
        return subvoxel_shift(
            lambda image: predictor(replace(scan, image=image)),
            scan.image,
            refine(params),
            interpolation=interpolation,
            border=params.border,
        )

    return predict
