"""Maps of a fused case: how much speaks for a voxel, and how many views cover it."""

from dataclasses import replace

import numpy as np

from slicefill.types import CONFIDENCE_STEPS, Array, Case, Floats
from slicefill.views.canvas import Canvas


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
