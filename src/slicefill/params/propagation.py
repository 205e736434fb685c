"""Parameters of the propagation of labels between annotated slices."""

from pydantic import Field

from slicefill.params.base import AxisName, Count, Fraction, Params, Positive, Weight, WindowParams
from slicefill.params.imputation import EndParams


class PropagationParams(Params):
    """How the labels of slices between annotated ones are found.

    Chosen on development subjects of brain_t1 and hippocampus (benchmarks/propagate.py).
    """

    through_plane: AxisName = Field(
        "auto", description="axis across slices; auto: the one along which slices are blank"
    )
    followed: list[Fraction] = Field(
        [0.25, 0.5, 0.75],
        min_length=1,
        description="share of the outlines that motion moved; the rest is interpolated by shape. "
        "The annotated slices choose; the first is taken where they cannot",
    )
    likeness: list[Weight] = Field(
        [0.8, 0.4, 1.5],
        min_length=1,
        description="pixels that a unit of log-odds of the votes of like patches is worth; as "
        "`followed`",
    )
    matched: Fraction = Field(
        0.5, description="share of the step towards the interpolated area of every label"
    )
    contrast: Positive = Field(
        0.07, description="difference of patches, of the window, at which a vote falls to 1 / e"
    )
    search: Count = Field(2, description="pixels around its place in which a patch is sought")
    patch: Count = Field(1, description="pixels and slices on either side that a patch extends")
    margin: Count = Field(16, description="pixels around the labels in which labels are sought")
    held_out: Count = Field(12, description="most annotated slices that are predicted to choose")
    least_dice: Fraction = Field(
        0.6, description="of those slices by the first weights: below it, they cannot choose"
    )
    least_gain: Fraction = Field(
        0.02, description="of their Dice over that of the first weights: below it, those stay"
    )
    wander: Positive = Field(
        1.9, description="pixels by which outlines stray over a slice as thick as a pixel is wide"
    )
    suggestions: Count = Field(5, description="slices named as worth annotating next, at most")
    label_ends: EndParams = EndParams()
    window: WindowParams = Field(
        WindowParams(kind="percentile", low=0.5, high=99.5), description="intensities compared"
    )
