"""Which figures a study shows, and of what."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from slicefill.geometry import slices_first
from slicefill.imputation.methods.slice_imputation.critics import load_critics
from slicefill.imputation.methods.slice_imputation.networks import Attention
from slicefill.imputation.stacks import stack_case
from slicefill.params import EvaluationParams, WindowParams
from slicefill.reporting.figures import (
    Labelled,
    attention_maps,
    first_channel,
    imputed_spec,
    label_views,
    loss_curves,
    metric_plots,
    risk_coverage,
    views,
)
from slicefill.types import Array, Case, Promise

_PLOTTED = ("psnr_body", "ssim_body", "gradient_ratio", "dice_mean", "volume_bias_abs_mean")
_ATTENTION_SLICES = 4


def draw_cases(
    imputed_cases: Mapping[str, Promise], cases: Mapping[str, Promise], params: EvaluationParams
) -> dict[str, Figure]:
    """Draw the first test cases in three directions, images and labels (paper, Figs. 3 to 5)."""
    named = dict.fromkeys(name.rsplit("/", 1)[1] for name in imputed_cases)
    names = [case for case in named if case in cases]
    figures: dict[str, Figure] = {}
    for case in names[: params.figure_cases]:
        imputed = {
            method: imputed_cases[f"{method}/{case}"].make()
            for method in params.figure_methods
            if f"{method}/{case}" in imputed_cases
        }
        if imputed:
            figures |= _draw_case(case, imputed, cases[case].make(), params)
    return figures


def _draw_case(
    name: str, imputed: Mapping[str, Case], truth: Case, params: EvaluationParams
) -> dict[str, Figure]:
    record = next(iter(imputed.values())).record
    step, factor = record["count"] + 1, record["source"].get("factor", 1)
    depth = len(record["slices"])
    known = step == factor and factor > 1
    spec = imputed_spec(name, next(iter(imputed.values())))
    images = {method: first_channel(case.image) for method, case in imputed.items()}
    real = _covered(first_channel(truth.image), record["axis"], depth) if known else None
    figures = {f"views_{name}": views(real, images, spec)}
    labels = {m: Labelled(images[m], c.label.stored) for m, c in imputed.items() if c.label}
    if labels and len(labels) == len(imputed):
        shown = None
        if real is not None and truth.label is not None:
            shown = Labelled(real, _covered(truth.label.stored, record["axis"], depth))
        figures[f"labels_{name}"] = label_views(shown, labels, params.label_names, spec)
    return figures


def _covered(volume: Array, axis: int, depth: int) -> Array:
    return np.take(volume, range(depth), axis=axis)


def draw_scores(scores: pd.DataFrame) -> dict[str, Figure]:
    """Box plots of the headline metrics, with every case."""
    shown = [metric for metric in _PLOTTED if metric in scores]
    return {"scores": metric_plots(scores, shown)} if shown else {}


def draw_confidence(curves: pd.DataFrame) -> dict[str, Figure]:
    """Risk-coverage curves of every method, where the truth is known."""
    return {} if curves.empty else {"risk_coverage": risk_coverage(curves)}


def draw_training(
    models: Mapping[str, Mapping[str, Any]], imputed_cases: Mapping[str, Promise]
) -> dict[str, Figure]:
    """Loss curves, and what the attention looks at (paper, Fig. 6)."""
    figures = {}
    for name, checkpoint in models.items():
        figures[f"loss_curves_{name}"] = loss_curves(pd.DataFrame(checkpoint["history"]))
        case = next((c for key, c in imputed_cases.items() if key.startswith(f"{name}/")), None)
        critics = load_critics(dict(checkpoint))
        if case is not None and critics is not None and critics.multitask is not None:
            slices = _slices_with_object(case.make(), dict(checkpoint))
            attention = cast(Attention, critics.multitask["attention"])
            with torch.no_grad():
                maps = attention.mask(torch.from_numpy(slices))[:, 0].numpy()
            figures[f"attention_{name}"] = attention_maps(slices[:, 0], maps)
    return figures


def _slices_with_object(case: Case, checkpoint: dict[str, Any]) -> Array:
    """Slices through the object, evenly spread, in [0, 1], `(n, C, H, W)`."""
    axis = case.record["axis"]
    window = WindowParams.model_validate(checkpoint["window"])
    slices = stack_case(case, axis, window).normalised()
    label = None if case.label is None else slices_first(case.label.stored, axis)
    shown = np.arange(len(slices))
    if label is not None and label.any():
        shown = np.flatnonzero(label.any(axis=(1, 2)))
    chosen = shown[np.linspace(0, len(shown) - 1, _ATTENTION_SLICES + 2).astype(int)[1:-1]]
    return slices[chosen, : checkpoint["channels"]]
