"""Maps of a fused case: how much speaks for a voxel, and how many views cover it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slicefill.fusion import fuse
from slicefill.grids.sampled import AlignedView, sample_nothing, slabs, whole
from slicefill.plugins import System
from slicefill.types import CONFIDENCE_STEPS, Array, Case, Floats
from slicefill.views.canvas import Canvas


def cover(case: Case, views: Sequence[AlignedView], system: System) -> tuple[Floats, Array]:
    """Say how much speaks for the background where no view shows a label, and how many cover it.

    Args:
        case: On the grid of the result.
        views: Aligned.
        system: Rule of fusion.

    Returns:
        Weights as of `slicefill.fusion.fuse`, and counts of views, `(I, J, K)`.
    """
    shape = case.image.stored.shape[:3]
    weight, count = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for part in slabs(whole(case.image)):
        blank = [sample_nothing(view, case.image.affine, part) for view in views]
        weight[part] = fuse(blank, system)[1]
        count[part] = np.sum([view.covered for view in blank], axis=0)
    return weight, count


def with_confidence(
    case: Case, canvas: Canvas, weight: Floats, count: Array, *, acquired: bool
) -> Case:
    """Put `confidence` and `views` beside a case.

    Args:
        case: On the grid of the canvas.
        canvas: The grid, and the view that stays.
        weight: Share of the views that speaks for a voxel, [0, 1], `(I, J, K)`.
        count: How many views cover it, `(I, J, K)`.
        acquired: Whether acquired slices of the reference are kept: their confidence is 1.
    """
    steps = np.rint(np.clip(weight, 0, 1) * CONFIDENCE_STEPS).astype(np.uint16)
    if acquired:
        canvas.keep_acquired(steps, np.full_like(steps[canvas.inner], CONFIDENCE_STEPS))
    confidence = case.image.with_stored(steps, None, (1 / CONFIDENCE_STEPS, 0.0))
    counted = case.image.with_stored(count.astype(np.uint8), None, (1.0, 0.0))
    return replace(case, maps={**case.maps, "confidence": confidence, "views": counted})
