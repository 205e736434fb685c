"""Parameters of how labels follow the motion of the image."""

from typing import Annotated

from pydantic import AfterValidator, Field

from slicefill.params.base import Count, Fraction, Params, Weight


def _odd(side: int) -> int:
    if side % 2 == 0:
        msg = f"expected an odd number of pixels, got {side}; set {side - 1} or {side + 1}"
        raise ValueError(msg)
    return side


Side = Annotated[Count, AfterValidator(_odd)]
"""Pixels a side of a square around a pixel."""


class CautionParams(Params):
    """Caution with which outlines follow the image: `imputation.label_field: shape_and_motion`."""

    followed: Fraction = Field(
        description="of how far the image believes in motion: outlines need not move as it does"
    )
    averaged: Side = Field(description="pixels a side over which the motion is averaged, odd")
    yielding: Weight = Field(
        description="pixels off the distance of the background: blending shrinks what is round"
    )
    curvature: Weight = Field(
        description="share of the bend of outlines across slices that is followed; 1: cubic"
    )
    appearance: Weight = Field(
        description="pixels of distance that a unit of log-likelihood of the intensities is worth"
    )
    nearby: Side = Field(description="pixels a side within which a label is looked at, odd")
