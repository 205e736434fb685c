"""The fused image of aligned views of one contrast."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from slicefill.fusion import find_fusion
from slicefill.fusion.gaussian import nearness
from slicefill.grids.cubic import find_body
from slicefill.grids.sampled import AlignedView, Box, sample_image, slabs, whole
from slicefill.imputation.dense_grid import to_dtype
from slicefill.types import Array, Case
from slicefill.views.canvas import Canvas
from slicefill.views.maps import cover, with_confidence


def fuse_images(
    canvas: Canvas,
    views: Sequence[AlignedView],
    contrast: Mapping[str, bool],
    sigma: float | None,
    region: str = "image",
) -> tuple[Case, dict[str, Any]]:
    """Average the views at every synthetic voxel, each the more the nearer its slices are.

    Σ P_i I_i / Σ P_i, P_i as in `slicefill.fusion.gaussian`, I_i the imputed view, scaled to
    the mean and the deviation of the reference in what both show. Acquired slices of the
    reference stay as they are, to the bit.

    Args:
        canvas: The imputed reference on the grid of the result.
        views: The first is the reference.
        contrast: By name of the other views: whether it is that of the reference. Others are left
            out, as is everything beside an image of several channels.
        sigma: As in `slicefill.fusion.gaussian`.
        region: In what of the reference intensities are compared: its `image`, or its `label`.

    Returns:
        The case with its image, `confidence` and `views`; and what to record: the views that were
        averaged, their factor and offset.
    """
    case = canvas.case
    several = case.image.stored.ndim > 3
    alike = [v for v in views[1:] if contrast.get(v.name) and v.case.image.stored.ndim == 3]
    chosen = [views[0], *([] if several else alike)]
    scales = {view.name: _scale(views[0], view, region) for view in chosen[1:]}
    told = {"fused": [view.name for view in chosen], "factor_and_offset": scales}
    if len(chosen) == 1:
        weight, count = cover(case, chosen, find_fusion({"kind": "gaussian", "sigma": sigma}))
        return with_confidence(case, canvas, weight, count, acquired=True), told
    stored = case.image.stored.copy()
    weight, count = np.zeros(stored.shape, np.float32), np.zeros(stored.shape, np.uint8)
    slope, intercept = case.image.slope_intercept
    for part in slabs(whole(case.image)):
        mean, weight[part], count[part] = _mean(chosen, scales, case.image.affine, part, sigma)
        numbers = (mean.astype(np.float64) - intercept) / slope
        fused = to_dtype(numbers, stored.dtype)
        stored[part] = np.where(count[part] > 0, fused, stored[part])
    canvas.keep_acquired(stored, views[0].case.image.stored)
    made = replace(case, image=case.image.with_stored(stored))
    return with_confidence(
        made, canvas, weight / np.float32(len(chosen)), count, acquired=True
    ), told


def _mean(
    views: Sequence[AlignedView],
    scales: Mapping[str, tuple[float, float]],
    affine: Array,
    part: Box,
    sigma: float | None,
) -> tuple[Array, Array, Array]:
    """Weighted mean of the intensities, the sum of the weights, and how many views cover."""
    sampled = [sample_image(view, affine, part) for view in views]
    near, most = nearness(sampled, sigma)
    total: Array = np.zeros(1)
    for view, weight, seen in zip(views, near, sampled, strict=True):
        factor, offset = scales.get(view.name, (1.0, 0.0))
        total = total + weight * np.nan_to_num(seen.values * factor + offset)
    weights, count = near.sum(axis=0), np.sum([seen.covered for seen in sampled], axis=0)
    return total / np.maximum(weights, np.finfo(np.float32).tiny), weights * most, count


def _scale(reference: AlignedView, view: AlignedView, region: str) -> tuple[float, float]:
    """Factor and offset that give a view the mean and deviation of the reference, where both show.

    Compared every few voxels.
    """
    image = reference.case.image
    values = reference.intensities
    body = find_body(values)
    if region == "label" and reference.case.label is not None:
        body &= reference.case.label.stored > 0
    found: list[tuple[Array, Array]] = []
    for slab in slabs(whole(image)):
        other: Array = sample_image(view, image.affine, slab).values[::2, ::2, ::2]
        own: Array = values[slab][::2, ::2, ::2]
        both = body[slab][::2, ::2, ::2] & ~np.isnan(other)
        found.append((own[both], other[both]))
    first, second = (np.concatenate(each).astype(np.float64) for each in zip(*found, strict=True))
    if first.size < 2 or second.std() == 0:
        return 1.0, 0.0
    factor = float(first.std() / second.std())
    return factor, float(first.mean() - factor * second.mean())
