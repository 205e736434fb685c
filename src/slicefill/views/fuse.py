"""Several views of one subject become one case on the grid of the imputed reference."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slicefill.imputation.imputers import Imputer
from slicefill.params import ImputationParams
from slicefill.params.fusion import FusionParams
from slicefill.types import Case
from slicefill.views.canvas import lay_canvas
from slicefill.views.fused_image import fuse_images
from slicefill.views.fused_label import fuse_labels
from slicefill.views.gathering import Gathered, gather_views, refuse_exact, register_views


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
        imputation: Its parameters; the voxels of the result are those of the imputed reference.
        params: Registration, rule of fusion, limits.
        images: Whether images are fused where views have labels; not where label maps stand for
            images.

    Returns:
        As `fuse_gathered`.

    Raises:
        ValueError: If there is no view, a view that stays cannot be imputed, or the grid asked for
            is `exact`.
    """
    refuse_exact(imputation)
    registered = register_views(views, params.registration)
    gathered = gather_views(views, registered, imputer, imputation, params)
    return fuse_gathered(gathered, params, images=images)


def fuse_gathered(gathered: Gathered, params: FusionParams, *, images: bool = True) -> Case:
    """Fuse the labels and images of views that are registered and imputed.

    Args:
        gathered: The views.
        params: Rule of fusion, limits.
        images: Whether images are fused where views have labels; without any they always are.

    Returns:
        The imputed reference, on its grid or on one that covers all views (`params.field`), with
        its image and its label fused. Every voxel of its acquired slices is bit-identical, of the
        label with `keep_given`. Maps `confidence` ([0, 1]: how much of the views speaks for the
        label, or without labels for the image; 1 where the reference was acquired), `views` (how
        many cover a voxel; of labels the labelled ones) and `synthetic_mask`. The record's `fusion`
        names matrices, similarities, and the views that were left out, with the reason.

    Raises:
        ValueError: If views lie so far apart that one grid cannot hold them.
    """
    canvas = lay_canvas(gathered.views, params.field)
    fused = canvas.case
    told: dict[str, Any] = {"left_out": dict(gathered.left_out)}
    labelled = any(view.case.label is not None for view in gathered.views)
    if images or not labelled:
        contrast = {
            name: each.correlation >= params.least_similarity
            for name, each in gathered.alignments.items()
        }
        sigma = params.rule.get("sigma")
        region = str(params.registration.get("region", "image"))
        fused, told["images"] = fuse_images(canvas, gathered.views, contrast, sigma, region)
    if labelled:
        fused, told["labels"] = fuse_labels(fused, canvas, gathered.views, params)
    told["reference_begins_at"] = [each.start for each in canvas.inner]
    names = [view.name for view in gathered.views]
    alignments = {name: each.record() for name, each in gathered.alignments.items()}
    told |= {"reference": names[0], "views": names, "alignments": alignments}
    told |= {"parameters": params.model_dump()}
    return replace(fused, record={**fused.record, "fusion": told})
