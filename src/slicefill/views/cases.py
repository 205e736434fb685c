"""Views that are read, fused by the few words that callers use."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from slicefill.imputation.imputers import load_named
from slicefill.params.base import explain
from slicefill.params.fusion import FusionParams
from slicefill.params.imputation import imputation_params
from slicefill.types import Case
from slicefill.views.fuse import fuse_views


def fuse_cases(
    views: Mapping[str, Case],
    *,
    registration: str | Mapping[str, Any] = "rigid",
    rule: str | Mapping[str, Any] = "gaussian",
    method: str | Mapping[str, Any] | None = None,
    masks: bool = False,
    **params: Any,
) -> Case:
    """Fuse views that are read (`slicefill.fuse`); of `masks`, the image is the fused label map."""
    limits = {name: params.pop(name) for name in FusionParams.model_fields if name in params}
    entries = {"registration": _entry(registration), "rule": _entry(rule)}
    try:
        fusion = FusionParams.model_validate({**entries, **limits})
    except ValidationError as error:
        raise ValueError(explain(error)) from error
    grid = imputation_params(**params)
    imputer = load_named(method or ("nearest" if masks else "pretrained"), grid)
    fused = fuse_views(views, imputer, grid, fusion, images=not masks)
    return replace(fused, image=fused.label, label=None) if masks and fused.label else fused


def _entry(named: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": named} if isinstance(named, str) else dict(named)
