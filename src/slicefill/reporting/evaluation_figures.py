"""Figures of an evaluation: cases with their labels, scores, confidence, training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from slicefill.geometry import slices_first, step_map
from slicefill.imputation.dense_grid import DenseGrid, stack_case
from slicefill.imputation.methods.classical import impute_classically
from slicefill.metrics import find_metric
from slicefill.params import EvaluationParams, WindowParams
from slicefill.reporting.figures import (
    Labelled,
    as_slabs,
    attention_maps,
    first_channel,
    imputed_spec,
    label_views,
    loss_curves,
    metric_plots,
    realism_ellipses,
    risk_coverage,
    views,
)
from slicefill.types import Array, Case, Promise, Volume

_ATTENTION_SLICES = 4


def draw_case(
    name: str, imputed: Mapping[str, Case], truth: Callable[[], Case], params: EvaluationParams
) -> dict[str, Figure]:
    """Draw a case in three directions, images and labels (paper, Figs. 3 to 5).

    Args:
        name: Of the case.
        imputed: By method, all on one grid: those of `params.figure_methods`, and that of
            `params.label_baseline` if it was imputed.
        truth: Reads what it was subsampled from; shown where it has every imputed slice.
        params: Which methods, label names.

    Returns:
        `views_<name>` with the truth and differences from it, or, where no true slice is known,
        `imputed_<name>` with the acquired slices; and, of a case with labels, `labels_<name>` with
        the true ones, or `outlines_<name>` without. None of an exact grid: its slices lie between
        those that there is to compare with.
    """
    first = next(iter(imputed.values()))
    if first.record["count"] is None:
        return {}
    spec, real = imputed_spec(name, first), _covered(first, truth)
    shown = {m: case for m, case in imputed.items() if m in params.figure_methods} or dict(imputed)
    images = {method: first_channel(case.image) for method, case in shown.items()}
    if real is not None:
        figures = {f"views_{name}": views(first_channel(real.image), images, spec)}
    else:
        figures = {f"imputed_{name}": views(None, _slabs(imputed) | images, spec)}
    labels = _compare_labels(imputed, shown, params.label_baseline)
    if labels:
        known = None if real is None else _labelled(real)
        kind = "outlines" if known is None else "labels"
        figures[f"{kind}_{name}"] = label_views(known, labels, params.label_names, spec)
    return figures


def _covered(imputed: Case, truth: Callable[[], Case]) -> Case | None:
    """Return the true slices of an imputed case; None where they are not known."""
    step, factor = imputed.record["count"] + 1, imputed.record["source"].get("factor", 1)
    if step != factor or factor == 1:
        return None
    whole, axis = truth(), imputed.record["axis"]
    depth = len(imputed.record["slices"])

    def cut(volume: Volume) -> Volume:
        return volume.with_stored(np.take(volume.stored, range(depth), axis=axis))

    return Case(cut(whole.image), None if whole.label is None else cut(whole.label))


def _acquired(imputed: Mapping[str, Case]) -> Case | None:
    """Take the acquired slices out of a case that kept them; None where there is none."""
    kept = (each for each in imputed.values() if each.record["acquired_slices"] == "kept")
    case = next(kept, None)
    if case is None:
        return None
    axis, step = case.record["axis"], case.record["count"] + 1

    def take(volume: Volume) -> Volume:
        places = range(0, volume.stored.shape[axis], step)
        return volume.with_stored(np.take(volume.stored, places, axis=axis), step_map(axis, step))

    label = next((each.label for each in imputed.values() if each.label is not None), None)
    return Case(take(case.image), None if label is None else take(label), record=case.record)


def _slabs(imputed: Mapping[str, Case]) -> dict[str, Array]:
    """Draw acquired slices as thick as they lie apart."""
    acquired = _acquired(imputed)
    if acquired is None:
        return {}
    axis, step = acquired.record["axis"], acquired.record["count"] + 1
    return {"acquired slices": as_slabs(first_channel(acquired.image), axis, step)}


def _compare_labels(
    imputed: Mapping[str, Case], shown: Mapping[str, Case], baseline: str
) -> dict[str, Labelled]:
    """Put labels of learned methods beside those of the baseline, which is imputed if need be."""
    labelled = {method: case for method, case in shown.items() if case.label is not None}
    learned = {m: case for m, case in labelled.items() if case.record.get("weights") is not None}
    acquired = _acquired(imputed)
    compared: dict[str, Case] = {}
    if baseline in imputed:
        compared[baseline] = imputed[baseline]
    elif labelled and acquired is not None:
        compared[baseline] = _interpolate(acquired, baseline)
    found = {m: _labelled(case) for m, case in (compared | (learned or labelled)).items()}
    return {method: each for method, each in found.items() if each is not None}


def _interpolate(acquired: Case, rule: str) -> Case:
    """Impute as the case was imputed, by a classical rule."""
    axis, count = acquired.record["axis"], acquired.record["count"]
    stack = stack_case(acquired, axis, WindowParams.model_validate(acquired.record["window"]))
    grid = DenseGrid.even(acquired.image, axis, count)
    made = impute_classically(rule, stack, grid.positions)
    image = grid.interleave(acquired.image, grid.as_stored(made.image))
    if acquired.label is None or made.label is None:
        return Case(image)
    return Case(image, grid.interleave(acquired.label, made.label))


def _labelled(case: Case) -> Labelled | None:
    return None if case.label is None else Labelled(first_channel(case.image), case.label.stored)


def draw_scores(scores: pd.DataFrame, plotted: Sequence[str]) -> dict[str, Figure]:
    """Box plots of some metrics, with every case; those that were not measured are left out."""
    shown = [column for column in plotted if find_metric(column) and column in scores]
    return {"scores": metric_plots(scores, shown)} if shown else {}


def draw_confidence(curves: pd.DataFrame) -> dict[str, Figure]:
    """Risk-coverage curves of every method, where the truth is known."""
    return {} if curves.empty else {"risk_coverage": risk_coverage(curves)}


def draw_realism(table: pd.DataFrame) -> dict[str, Figure]:
    """Ellipses of the slices of every method against real ones, if realism was requested."""
    return {} if table.empty else {"realism": realism_ellipses(table)}


def draw_training(
    models: Mapping[str, Mapping[str, Any]], imputed_cases: Mapping[str, Promise]
) -> dict[str, Figure]:
    """Loss curves, and what the attention looks at (paper, Fig. 6)."""
    import torch

    from slicefill.imputation.methods.slice_imputation.critics import load_critics
    from slicefill.imputation.methods.slice_imputation.networks import Attention

    figures = {}
    learned = {name: own for name, own in models.items() if own["history"]}
    for name, checkpoint in learned.items():
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
