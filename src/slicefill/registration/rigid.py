"""Rigid registration from many starts: subjects turn by more than one start can find back."""

from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slicefill.grids.cubic import Seen, overlap, see, to_world
from slicefill.params.base import Count, Fraction, Positive, Weight
from slicefill.params.base import Params as BaseParams
from slicefill.types import Case

Metric = Literal["correlation", "mutual_information"]
_BINS = 32  # of Mattes' mutual information
_SEED = 1  # ITK jitters samples on a grid, too; 0 would be the clock
_SHRINK = 4  # of the coarse search, and of the first of the refinement's levels


class Params(BaseParams):
    """Where the search starts, and how it goes on."""

    metric: Metric = Field(
        "correlation", description="of views of one contrast; else mutual_information"
    )
    starts: list[float] = Field(
        [-50.0, -25.0, 0.0, 25.0, 50.0],
        min_length=1,
        description="degrees: every triple of them, about three axes, is a start",
    )
    first_steps: Count = Field(5, description="of the search from every start, at 1/4 resolution")
    followed: Count = Field(20, description="best starts that are searched further")
    coarse_steps: Count = Field(40, description="of the further search, at 1/4 resolution")
    keep: Count = Field(3, description="best ones that are refined at full resolution")
    steps: Count = Field(200, description="on each of three levels of the refinement")
    samples: Fraction = Field(0.2, description="share of the voxels that the refinement looks at")
    least_overlap: Weight = Field(
        0.2, description="share of the reference's body inside the moved view: less is no solution"
    )
    region: Literal["image", "label"] = Field(
        "image", description="what is registered; label: what moves apart from its surroundings"
    )
    smallest_step: Positive = Field(5e-5, description="of a voxel, at which the refinement ends")


def register(reference: Case, moving: Case, params: Params) -> NDArray[np.float64]:
    """Search from the headers and every triple of angles, refine the best (`RegistrationFile`).

    Deterministic: one thread, seeded samples.

    Raises:
        ValueError: If a view is empty, or no start leads to an overlap.
    """
    fixed, moved = see(reference, params.region), see(moving, params.region)
    coarse = _shrunk(fixed), _shrunk(moved)
    found = _starts(fixed, moved, params)
    for steps, kept in ((params.first_steps, params.followed), (params.coarse_steps, params.keep)):
        found = _best([_search(*coarse, start, steps, params) for start in found])[:kept]
    found = _best([_refine(fixed, moved, start, params) for start in found])
    if not found:
        msg = "no start of the registration leads to an overlap: do the views show one subject?"
        raise ValueError(msg)
    return to_world(found[0])


def _best(found: list[tuple[float, Any] | None]) -> list[Any]:
    """Transforms by their metric, the best one first."""
    return [each[1] for each in sorted(filter(None, found), key=lambda each: each[0])]


def _starts(fixed: Seen, moved: Seen, params: Params) -> list[Any]:
    """List the transforms to start from: as the headers say, then centre on centre, turned."""
    import SimpleITK

    apart = (moved.centre - fixed.centre).tolist()
    turns = [np.deg2rad(angles).tolist() for angles in product(params.starts, repeat=3)]
    starts = [([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]), *((turn, apart) for turn in turns)]
    return [
        SimpleITK.Euler3DTransform(fixed.centre.tolist(), *angles, shift)
        for angles, shift in starts
    ]


def _search(
    fixed: Seen, moved: Seen, start: Any, steps: int, params: Params
) -> tuple[float, Any] | None:
    method = _method(fixed, params)
    method.SetOptimizerAsRegularStepGradientDescent(
        fixed.pitch / 2, fixed.pitch / 800, steps, relaxationFactor=0.6
    )
    return _run(method, fixed, moved, start, params)


def _refine(fixed: Seen, moved: Seen, start: Any, params: Params) -> tuple[float, Any] | None:
    method = _method(fixed, params)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(params.samples, _SEED)
    method.SetShrinkFactorsPerLevel([_SHRINK, 2, 1])
    method.SetSmoothingSigmasPerLevel([2 * fixed.pitch, fixed.pitch, 0])
    method.SetOptimizerAsRegularStepGradientDescent(
        fixed.pitch / 2, params.smallest_step * fixed.pitch, params.steps, relaxationFactor=0.6
    )
    return _run(method, fixed, moved, start, params)


def _method(fixed: Seen, params: Params) -> Any:
    import SimpleITK

    method = SimpleITK.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    if params.metric == "correlation":
        method.SetMetricAsCorrelation()
    else:
        method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(fixed.body)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _run(
    method: Any, fixed: Seen, moved: Seen, start: Any, params: Params
) -> tuple[float, Any] | None:
    """Metric (the lower, the better) and transform; None where the views hardly overlap."""
    import SimpleITK

    transform = SimpleITK.Euler3DTransform()  # a copy made at once: those of SimpleITK share
    transform.SetFixedParameters(start.GetFixedParameters())
    transform.SetParameters(start.GetParameters())
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed.image, moved.image)
    except RuntimeError:  # ITK: all samples map outside of the moving view
        return None
    value = float(method.GetMetricValue())
    if overlap(fixed, moved, transform) < params.least_overlap:
        return None
    return value, transform


def _shrunk(seen: Seen) -> Seen:
    import SimpleITK

    size = [min(_SHRINK, each) for each in seen.image.GetSize()]
    return Seen(
        SimpleITK.BinShrink(seen.image, size),
        SimpleITK.BinShrink(seen.body, size) > 0,
        seen.centre,
    )
