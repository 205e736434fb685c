"""Parameters of how labels follow the motion of the image."""

from pydantic import Field

from slicefill.params.base import Count, Fraction, Params, Weight


class CautionParams(Params):
    """Caution with which outlines follow the image: `imputation.label_field: shape_and_motion`."""

    followed: Fraction = Field(
        description="of how far the image believes in motion: outlines need not move as it does"
    )
    averaged: Count = Field(description="pixels a side over which the motion is averaged, odd")
    yielding: Weight = Field(
        description="pixels that the background steps back: blended distances shrink what is round"
    )
    curvature: Weight = Field(
        description="share of the bend of outlines across slices that is followed; 1: cubic"
    )
    appearance: Weight = Field(
        description="pixels that an outline moves per unit of log-likelihood of the intensities"
    )
    nearby: Count = Field(description="pixels a side within which a label is looked at, odd")
