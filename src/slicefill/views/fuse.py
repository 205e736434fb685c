"""Several views of one subject become one case on the grid of the imputed reference."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slicefill.geometry import through_plane_axis
from slicefill.imputation.impute import Imputer, impute_case
from slicefill.params import ImputationParams
from slicefill.params.fusion import FusionParams
from slicefill.types import Case
from slicefill.views.alignment import Alignment, align
from slicefill.views.fused_image import fuse_images
from slicefill.views.fused_label import fuse_labels
from slicefill.views.sampling import AlignedView


@dataclass(frozen=True, eq=False)
class Gathered:
    """The views that can be fused.

    Attributes:
        views: Aligned, on cubic voxels; the first is the reference.
        alignments: Of the others, by name.
        left_out: Why other views are not used at all, by name.
    """

    views: list[AlignedView]
    alignments: Mapping[str, Alignment]
    left_out: Mapping[str, str]


def fuse_views(
    views: Mapping[str, Case],
    imputer: Imputer,
    imputation: ImputationParams,
    params: FusionParams,
    *,
    images: bool = True,
) -> Case:
    """Align views, impute each onto cubic voxels, and fuse their labels and images.

    Args:
        views: By name; the first is the reference. Image `(I, J, K)` or `(I, J, K, C)`, label or
            none; the label maps share their ids.
        imputer: Synthesises the slices between those of every view.
        imputation: Its parameters; the grid of the result is that of the imputed reference.
        params: Registration, rule of fusion, limits.
        images: Whether images are fused as well; not where label maps stand for images.

    Returns:
        The imputed reference with its image and its label fused. Every voxel of its acquired slices
        is bit-identical, of the label with `keep_given`. Maps `confidence` ([0, 1]: how much of the
        views speaks for the label, or without labels for the image; 1 where the reference was
        acquired), `views` (how many cover a voxel; of labels the labelled ones) and
        `synthetic_mask`. The record's `fusion` names matrices, similarities, and the views that
        were left out, with the reason.

    Raises:
        ValueError: If there is no view, or a view that stays cannot be imputed.
    """
    if not views:
        msg = "fusion: expected at least one view, got none"
        raise ValueError(msg)
    gathered = _gather(views, imputer, imputation, params)
    fused = gathered.views[0].case
    told: dict[str, Any] = {"left_out": dict(gathered.left_out)}
    if images:
        contrast = {
            name: each.correlation >= params.least_similarity
            for name, each in gathered.alignments.items()
        }
        sigma = params.rule.get("sigma")
        fused, told["images"] = fuse_images(fused, gathered.views, contrast, sigma)
    if any(view.case.label is not None for view in gathered.views):
        fused, told["labels"] = fuse_labels(fused, gathered.views, params)
    names = [view.name for view in gathered.views]
    alignments = {name: each.record() for name, each in gathered.alignments.items()}
    told |= {"reference": names[0], "views": names, "alignments": alignments}
    told |= {"parameters": params.model_dump()}
    return replace(fused, record={**fused.record, "fusion": told})


def _gather(
    views: Mapping[str, Case],
    imputer: Imputer,
    imputation: ImputationParams,
    params: FusionParams,
) -> Gathered:
    reference = next(iter(views))
    alignments, left_out = {}, {}
    aligned = [_aligned(reference, views[reference], np.eye(4), imputer, imputation)]
    for name, view in list(views.items())[1:]:
        try:
            found = align(views[reference], view, params.registration)
        except ValueError as error:
            left_out[name] = str(error)
            continue
        if reason := _unbelievable(found, params):
            left_out[name] = reason
            continue
        alignments[name] = found
        aligned.append(_aligned(name, view, found.matrix, imputer, imputation))
    return Gathered(aligned, alignments, left_out)


def _aligned(
    name: str, view: Case, matrix: Any, imputer: Imputer, imputation: ImputationParams
) -> AlignedView:
    axis = through_plane_axis(view.image.affine, imputation.through_plane)
    imputed = impute_case(view, imputer, imputation)
    if view.label is not None and imputed.label is None:
        msg = (
            f"{name}: method {imputer.name} imputes no labels; choose another, such as "
            "pretrained or nearest"
        )
        raise ValueError(msg)
    return AlignedView(name, imputed, axis, int(imputed.record["count"]) + 1, matrix)


def _unbelievable(found: Alignment, params: FusionParams) -> str:
    """Say why an alignment cannot be believed; empty where it can."""
    if found.overlap < params.least_overlap:
        return (
            f"{found.overlap:.0%} of the reference lies inside it, less than "
            f"{params.least_overlap:.0%} (least_overlap)"
        )
    if found.similarity < params.least_similarity:
        return (
            f"registration failed, or another contrast: its similarity to the reference is "
            f"{found.similarity:.2f}, below {params.least_similarity:g} (least_similarity); of "
            "another contrast, set the metric to mutual_information"
        )
    return ""
