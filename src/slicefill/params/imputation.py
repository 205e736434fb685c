"""Parameters of the imputation pipeline."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from slicefill.params.base import (
    AxisName,
    Count,
    Fraction,
    HardwareParams,
    Params,
    Positive,
    Weight,
    WindowParams,
    explain,
)


def _odd(count: int) -> int:
    if count % 2 == 0:
        msg = f"expected an odd number of pixels, got {count}; set {count - 1} or {count + 1}"
        raise ValueError(msg)
    return count


OddCount = Annotated[Count, AfterValidator(_odd)]
"""Pixels along each side of a square around a pixel."""


class CautionParams(Params):
    """Caution with which outlines follow the image: `imputation.label_field: shape_and_motion`."""

    followed: Fraction = Field(
        0.25, description="of the weight of motion in the image: outlines need not move as it does"
    )
    averaged: OddCount = Field(
        5, description="pixels a side over which the motion is averaged, odd"
    )
    curvature: Weight = Field(
        0.2, description="share of the bend of outlines across slices that is followed; 1: cubic"
    )
    appearance: Weight = Field(
        0.12,
        description="pixels of distance that a unit of log-likelihood of the intensities is worth",
    )
    nearby: OddCount = Field(
        7, description="pixels a side within which the intensities of a label are measured, odd"
    )


class EndParams(Params):
    """Where a label ends that only one of two neighbouring slices shows.

    It goes on losing area as it did over the interval before.
    """

    cut_off: Fraction = Field(
        0.83,
        description="left of the area one slice before: what has more is cut off and ends half-way",
    )
    latest: Annotated[float, Field(gt=0, le=1)] = Field(
        0.65, description="fraction of the interval beyond which no label goes on"
    )


class ConfidenceParams(Params):
    """What a model with an error calibration does besides imputing."""

    cycle: bool = Field(
        False, description="also predict acquired slices back from synthetic ones: slower"
    )
    threshold: Fraction = Field(
        0.9, description="below it, a classical method may replace the model; 0: never"
    )
    margin: Fraction = Field(
        0.8, description="it does if it expects less than this share of the model's error"
    )


class ImputationParams(Params):
    """How the intervals are imputed.

    Without a word: by the shipped weights, every case, onto the grid nearest to isotropic.
    """

    methods: list[str] = Field(
        ["pretrained"], min_length=1, description="entries of the section methods"
    )
    weights: Literal["pretrained", "own"] = Field(
        "pretrained",
        description="of a method that is not trained yet: the shipped ones stand in, or an error",
    )
    cases: Literal["test", "all"] = Field(
        "all", description="which are imputed: those of the test subjects, or all"
    )
    through_plane: AxisName = "auto"
    count: Annotated[int, Field(ge=0)] | Literal["nearest", "N_A"] | None = Field(
        "nearest",
        description="synthetic slices per interval: fixed; nearest: as many as come nearest to "
        "isotropic; N_A: eq. (20), which rounds down; null: use target_spacing",
    )
    target_spacing: Positive | None = Field(
        None, description="mm; the nearest grid that keeps slices"
    )
    exact: bool = Field(
        False,
        description="exactly target_spacing: acquired slices stay only where they fall on the grid",
    )
    orthogonal: bool = Field(
        False,
        description="sheared grids (a tilted gantry) are first resampled onto axes at right "
        "angles: no acquired voxel stays bit-identical",
    )
    most_slices: Count = Field(2000, description="a case that would have more is refused")
    most_gb: Positive = Field(
        4.0, description="a case whose volumes would take more, before compression, is refused"
    )
    batch_pixels: Count = Field(
        2**19, description="most pixels (pairs × rows × columns) in one batch: bounds memory"
    )
    label_field: Literal["one_hot", "signed_distance", "shape_and_motion"] = Field(
        "shape_and_motion",
        description="how a model warps labels: eq. (5), outlines, or outlines with caution",
    )
    label_caution: CautionParams = Field(CautionParams(), description="of shape_and_motion")
    label_ends: EndParams = Field(
        EndParams(), description="of shape_and_motion and of the classical rule shape_matched"
    )
    ensemble: bool = Field(
        False, description="average a model's motion over mirrored slices: 4 × slower"
    )
    choose: bool = Field(
        True,
        description="predict acquired slices from their neighbours, blend the shipped or adapted "
        "weights with optical flow and cubic interpolation, and their labels with those by shape, "
        "as pays on the scan",
    )
    quality: Literal["fast", "good", "best", "saint"] = Field(
        "fast",
        description="good: reformatted planes, seen by a network of their own, take part in the "
        "image of the shipped or adapted weights, several times slower; best: that network learns "
        "from the scan first, two or three minutes more; saint: in the place of our "
        "planes SAINT, which learned from CT, slower still (pip install 'slicefill[saint]')",
    )
    restore_acquired: bool = Field(
        False, description="super-resolution changes acquired slices: put them back"
    )
    confidence: ConfidenceParams = ConfidenceParams()
    window: WindowParams = Field(
        WindowParams(kind="percentile", low=0.5, high=99.5),
        description="for classical methods; a model brings its own",
    )
    hardware: HardwareParams = HardwareParams()
    seed: int = Field(0, description="of methods that draw samples")

    @property
    def decisive(self) -> dict[str, Any]:
        """What determines an imputed case, besides the method's own fingerprint."""
        others = {"methods", "weights", "cases", "batch_pixels", "confidence"}
        others |= {"most_slices", "most_gb"}
        return self.model_dump(exclude=others)

    def counted(self, count: int | str) -> Self:
        """Return the same rule with a given `count` of synthetic slices in each interval."""
        grid = {"count": count, "target_spacing": None, "exact": False}
        return self.model_copy(update=grid)

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if (self.count is None) == (self.target_spacing is None):
            msg = f"set one of count and target_spacing, got {self.count}, {self.target_spacing}"
            raise ValueError(msg)
        if self.exact and self.target_spacing is None:
            msg = "exact: expected a spacing in mm (target_spacing, --spacing), got none"
            raise ValueError(msg)
        return self


def imputation_params(
    *,
    spacing: float | None = None,
    count: int | None = None,
    axis: AxisName = "auto",
    device: str = "auto",
    **params: Any,
) -> ImputationParams:
    """Return parameters of imputation from the few words that callers use (`slicefill.impute`).

    Raises:
        ValueError: If both `spacing` and `count` are given, or a value does not fit.
    """
    if spacing is not None and count is not None:
        msg = f"spacing, count: expected one of them, got {spacing} and {count}"
        raise ValueError(msg)
    grid: dict[str, Any] = {"count": "nearest" if count is None else count, "target_spacing": None}
    if spacing is not None:
        grid = {"count": None, "target_spacing": spacing}
    given = {"through_plane": axis, "hardware": {"accelerator": device}, **grid, **params}
    try:
        return ImputationParams.model_validate(given)
    except ValidationError as error:
        raise ValueError(explain(error)) from error
