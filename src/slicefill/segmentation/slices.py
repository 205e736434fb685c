"""The slices of one training case: where each comes from and how much it counts."""

from typing import Any

import numpy as np

from slicefill.geometry import slices_first, through_plane_axis
from slicefill.params import AugmentationParams
from slicefill.types import Case


def describe_slices(
    thick: Case, filled: Case | None, params: AugmentationParams
) -> list[dict[str, Any]]:
    """Describe the slices of a case, acquired and synthetic.

    Args:
        thick: The acquired slices with their label map, if there is one.
        filled: The same case filled, or None for acquired slices alone.
        params: Through-plane axis, and the loss weight of labelled synthetic slices.

    Returns:
        Per slice: `slice` (index), `acquired`, `labelled`, `trust` (mean over the slice; acquired
        slices 1) and `weight`, which is 1 for acquired slices and 0 for all without a label.
    """
    axis = through_plane_axis(thick.image.affine, params.through_plane)
    if filled is None:
        trust, step = np.ones(thick.image.stored.shape[axis]), 1
    else:
        trust = slices_first(filled.maps["trust"].intensities(), axis).mean(axis=(1, 2))
        step = int(filled.record["count"]) + 1
    rows = []
    for k, trusted in enumerate(trust):
        acquired = k % step == 0
        source = thick if acquired else filled
        labelled = source is not None and source.label is not None
        weight = (1.0 if acquired else params.synthetic_weight) if labelled else 0.0
        row = {"slice": k, "acquired": acquired, "labelled": labelled}
        rows.append({**row, "trust": float(trusted), "weight": weight})
    return rows
