"""The slices of one training case: where each comes from and how much it counts."""

from typing import Any

import numpy as np

from slicefill.geometry import slices_first, through_plane_axis
from slicefill.params import AugmentationParams
from slicefill.types import Case


def describe_slices(
    acquired_case: Case, imputed: Case | None, params: AugmentationParams
) -> list[dict[str, Any]]:
    """Describe the slices of a case, acquired and synthetic.

    Args:
        acquired_case: The acquired slices with their label map, if there is one.
        imputed: The same case imputed, or None for acquired slices alone.
        params: Through-plane axis, and the loss weight of labelled synthetic slices.

    Returns:
        Per slice: `slice` (index), `acquired`, `labelled`, `confidence` (mean over the slice;
        acquired slices 1) and `weight`, which is 1 for acquired slices and 0 for all without a
        label.
    """
    axis = through_plane_axis(acquired_case.image.affine, params.through_plane)
    if imputed is None:
        confidence, step = np.ones(acquired_case.image.stored.shape[axis]), 1
    else:
        confidence = slices_first(imputed.maps["confidence"].intensities(), axis).mean(axis=(1, 2))
        step = int(imputed.record["count"]) + 1
    rows = []
    for k, confident in enumerate(confidence):
        acquired = k % step == 0
        source = acquired_case if acquired else imputed
        labelled = source is not None and source.label is not None
        weight = (1.0 if acquired else params.synthetic_weight) if labelled else 0.0
        row = {"slice": k, "acquired": acquired, "labelled": labelled}
        rows.append({**row, "confidence": float(confident), "weight": weight})
    return rows
