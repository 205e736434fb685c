"""The fused label map of aligned views."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.fusion import find_fusion, fuse
from slicefill.grids.sampled import AlignedView, Box, sample, slabs
from slicefill.params.fusion import FusionParams
from slicefill.types import Array, Case
from slicefill.views.canvas import Canvas
from slicefill.views.maps import cover, with_confidence


def fuse_labels(
    case: Case, canvas: Canvas, views: Sequence[AlignedView], params: FusionParams
) -> tuple[Case, dict[str, Any]]:
    """Fuse the label maps of the views that have one.

    Args:
        case: On the grid of the canvas.
        canvas: The grid.
        views: The first is the reference.
        params: Rule, and whether given labels of the reference stay.

    Returns:
        The case with its label, `confidence` and `views`; and what to record: the views whose
        labels were fused, those without one, and the share of the labelled voxels that a single
        view decides.
    """
    labelled = [view for view in views if view.case.label is not None]
    shape = case.image.stored.shape[:3]
    kind = np.result_type(*[view.case.label.stored.dtype for view in labelled if view.case.label])
    label = np.zeros(shape, kind)
    box = _box(labelled, case.image.affine, shape)
    system = find_fusion(params.rule)
    weight, count = cover(case, labelled, system)
    parts: Iterable[Box] = [box] if getattr(system.module, "WHOLE", False) else slabs(box)
    for part in parts if label[box].size else ():  # no label may lie on the grid
        sampled = [sample(view, case.image.affine, part) for view in labelled]
        label[part], weight[part] = fuse(sampled, system)
    given = views[0].case.label if params.keep_given else None
    if given is not None:
        canvas.keep_acquired(label, given.stored)
    kept = given is not None
    made = replace(case, label=case.image.with_stored(label, None, (1.0, 0.0)))
    made = with_confidence(made, canvas, weight / np.float32(len(labelled)), count, acquired=kept)
    return made, {
        "fused": [view.name for view in labelled],
        "without_label": [view.name for view in views if view.case.label is None],
        "decided_by_one": _alone(label, count),
        "acquired_slices": "kept" if kept else "fused",
    }


def _alone(label: Array, count: Array) -> float:
    """Share of the labelled voxels that only one view covers."""
    return round(float((count[label > 0] == 1).mean()), 4) if label.any() else 0.0


def _box(views: Sequence[AlignedView], affine: Array, shape: tuple[int, ...]) -> Box:
    """Voxels of the grid where some view may have a label, with a margin of one slice."""
    low, high = np.array(shape), np.zeros(3, int)
    for view in views:
        stored = view.case.label.stored if view.case.label else np.zeros((1, 1, 1))
        filled = [np.flatnonzero(stored.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
        if not filled[0].size:
            continue
        margin = [view.step if axis == view.axis else 1 for axis in range(3)]
        ends = [(f[0] - m, f[-1] + m) for f, m in zip(filled, margin, strict=True)]
        to_grid = np.linalg.inv(affine) @ np.linalg.inv(view.matrix) @ view.case.image.affine
        corners = nib.affines.apply_affine(to_grid, np.array(list(product(*ends))))
        low = np.minimum(low, np.floor(corners.min(0)).astype(int))
        high = np.maximum(high, np.ceil(corners.max(0)).astype(int) + 1)
    low, high = np.clip(low, 0, shape), np.clip(high, 0, shape)
    box = [slice(int(a), int(max(a, b))) for a, b in zip(low, high, strict=True)]
    return box[0], box[1], box[2]
