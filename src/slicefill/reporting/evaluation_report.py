"""Figures and report of an evaluation: cases, scores, confidence, training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from slicefill import __version__
from slicefill.geometry import slices_first
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.imputation.methods.slice_imputation.critics import load_critics
from slicefill.imputation.methods.slice_imputation.networks import Attention
from slicefill.metrics import ALL_SLICES, find_metric, list_metrics
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
from slicefill.reporting.report import ReportContent, ReportFigure, ReportTable
from slicefill.reporting.tables import (
    comparison_table,
    least_confident,
    shown_columns,
    summary_table,
)
from slicefill.types import Array, Case, Promise

_CAPTIONS = {
    "views": "{}: truth, each method and its absolute difference, on one colour scale. Marks at "
    "the border are acquired slices; the cut across slices shows a synthetic one.",
    "labels": "{}: label maps, true and synthetic.",
    "risk_coverage": "Mean absolute error of the synthetic voxels that are kept, most confident "
    "first: mean over subjects. The lower, the better confidence tells where the errors are.",
    "scores": "Every test case (dots, joined per case) and its method.",
    "loss_curves": "{}: loss terms and validation on held-out inner slices; best epoch marked.",
    "attention": "{}: where the attention of the multitask model looks.",
}
_CONFIDENCE_CAPTION = (
    "Confidence in the body: its rank correlation with the error, its bias, its risk."
)


def compose_report(
    tables: Mapping[str, pd.DataFrame], figures: Mapping[str, bytes], parameters: Mapping[str, Any]
) -> ReportContent:
    """Compose the report.

    Args:
        tables: `summary`, `comparisons`, `slice_confidence`, `adaptation`, `refused`; empty where
            there is nothing to say.
        figures: PNG by name, `<kind>_<of what>`.
        parameters: All parameters of the run.
    """
    summary, refused = tables["summary"], tables["refused"]
    made = [
        *_score_tables(summary, tables["comparisons"], parameters),
        *least_confident(tables["slice_confidence"]),
        *_gains(tables["adaptation"]),
        *_refusals(refused),
    ]
    warnings = [] if refused.empty else [f"{len(refused)} raw case(s) were refused, see below."]
    if summary.empty:
        warnings.append("No synthetic slice lies where one was removed: nothing scored.")
    kept = tables["adaptation"].query("used == @PRETRAINED")
    if not kept.empty:
        warnings.append(f"Adaptation kept the shipped weights: {kept['reason'].iloc[0]}.")
    return ReportContent(
        title=f"Slicefill: {parameters['experiment']}",
        headline=_headline(summary, parameters),
        settings=_settings(parameters, _imputed_by(tables)),
        tables=made,
        figures=[ReportFigure(_caption(name), png) for name, png in figures.items()],
        warnings=warnings,
        footnotes=_footnotes(parameters),
    )


def _gains(adaptation: pd.DataFrame) -> list[ReportTable]:
    """What adapted weights were worth on the slices that judged them."""
    if adaptation.empty:
        return []
    note = (
        "PSNR of inner slices that were held out, pair by pair; better: fraction of the groups; "
        f"used: the weights that impute, {ADAPTED} or {PRETRAINED} (the shipped ones). "
        f"{adaptation['reason'].iloc[0]}."
    )
    shown = adaptation.drop(columns="reason")
    return [ReportTable("Adaptation against the shipped weights.", shown, note)]


def _score_tables(
    summary: pd.DataFrame, comparisons: pd.DataFrame, parameters: Mapping[str, Any]
) -> list[ReportTable]:
    if summary.empty:
        return []
    shown = shown_columns(summary, parameters["evaluation"]["headline"])
    confidence = shown_columns(summary, [each.name for each in list_metrics("confidence")])
    copied = [m for m in summary["metric"].unique() if m.endswith(ALL_SLICES)]
    level = parameters["evaluation"]["confidence_level"]
    references = ", ".join(parameters["evaluation"]["reference_methods"]).replace("_", " ")
    return [
        summary_table(summary, shown, "Synthetic slices only."),
        comparison_table(
            comparisons[comparisons["metric"].isin(shown)],
            f"Each method against the best of {references}, metric by metric; "
            f"{level:.0%} interval.",
        ),
        *([summary_table(summary, confidence, _CONFIDENCE_CAPTION)] if confidence else []),
        replace(
            summary_table(summary, copied, "All slices, the copied ones counted, as papers do."),
            aside=True,
        ),
    ]


def _refusals(refused: pd.DataFrame) -> list[ReportTable]:
    return [] if refused.empty else [ReportTable("Refused raw cases.", refused)]


def _headline(summary: pd.DataFrame, parameters: Mapping[str, Any]) -> str:
    if summary.empty:
        return "Intervals imputed; there is no truth to score against."
    means = summary.pivot(index="method", columns="metric", values="mean")
    learned = (parameters["variant"], ADAPTED, PRETRAINED)
    variant = next((name for name in learned if name in means.index), None)
    known = [m for m in parameters["evaluation"]["reference_methods"] if m in means.index]
    if variant is None or not known:
        return "PSNR on synthetic slices: " + ", ".join(
            f"{method} {value:.2f} dB" for method, value in means["psnr_body"].items()
        )
    psnr = {str(method): float(value) for method, value in means["psnr_body"].items()}
    best = str(means.loc[known, "psnr_body"].idxmax())
    return (
        f"{variant}: {psnr[variant]:.2f} dB on synthetic slices inside the body, "
        f"{psnr[variant] - psnr[best]:+.2f} dB against the best classical method ({best})."
    )


def _imputed_by(tables: Mapping[str, pd.DataFrame]) -> set[str]:
    """Methods that imputed, whether or not there is a truth to score them against."""
    named = [
        tables[name]["method"] for name in ("summary", "slice_confidence") if len(tables[name])
    ]
    return {str(method) for methods in named for method in methods}


def _settings(parameters: Mapping[str, Any], imputed_by: set[str]) -> dict[str, str]:
    thin = parameters["anisotropization"]
    return {
        "Experiment": str(parameters["experiment"]),
        **_models(parameters, imputed_by),
        "Subsampled": f"×{thin['factor']} along {thin['axis']}, profile {thin['profile']}",
        "Seed": str(parameters["synthesis"]["optimisation"]["seed"]),
        "Slicefill": __version__,
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _models(parameters: Mapping[str, Any], imputed_by: set[str]) -> dict[str, str]:
    """Say which weights imputed; how a variant was trained only where it took part."""
    told = {}
    if parameters["variant"] in imputed_by:
        synthesis = parameters["synthesis"]
        optimisation = synthesis["optimisation"]
        told = {
            "Variant": str(parameters["variant"]),
            "λ": f"{synthesis['preset']}: {synthesis['weights'][synthesis['preset']]}",
            "Network": str(synthesis["network"]),
            "Training": f"{optimisation['epochs']} epochs, batch {optimisation['batch']}, "
            f"learning rate {optimisation['learning_rate']}",
        }
    shipped = {PRETRAINED: "shipped", ADAPTED: "shipped, adapted to these scans"}
    weights = [how for name, how in shipped.items() if name in imputed_by]
    return told | ({"Weights": "; ".join(weights)} if weights else {})


def _footnotes(parameters: Mapping[str, Any]) -> list[str]:
    params = EvaluationParams.model_validate(parameters["evaluation"])
    return [
        "Scores are of synthetic slices only; slices after the last acquired one are left out.",
        f"Body: above {params.body_quantile:.0%} of the data range, holes filled per slice. Data "
        "range: 99.9th percentile minus minimum of the real volume.",
        "The subject is the unit: a subject's cases are averaged first.",
    ]


def _caption(name: str) -> str:
    for kind, text in _CAPTIONS.items():
        if name.startswith(kind):
            return text.format(name.removeprefix(kind).strip("_"))
    return name


_ATTENTION_SLICES = 4


def draw_case(
    name: str, imputed: Mapping[str, Case], truth: Callable[[], Case], params: EvaluationParams
) -> dict[str, Figure]:
    """Draw a case in three directions, images and labels (paper, Figs. 3 to 5).

    Args:
        name: Of the case.
        imputed: By method, all on one grid.
        truth: Reads what it was subsampled from; shown where it has every imputed slice.
        params: Label names.
    """
    record = next(iter(imputed.values())).record
    step, factor = record["count"] + 1, record["source"].get("factor", 1)
    depth, axis = len(record["slices"]), record["axis"]
    spec = imputed_spec(name, next(iter(imputed.values())))
    images = {method: first_channel(case.image) for method, case in imputed.items()}
    whole = truth() if step == factor and factor > 1 else None
    real = None if whole is None else _covered(first_channel(whole.image), axis, depth)
    figures = {f"views_{name}": views(real, images, spec)}
    labels = {m: Labelled(images[m], c.label.stored) for m, c in imputed.items() if c.label}
    if labels and len(labels) == len(imputed):
        shown = None
        if real is not None and whole is not None and whole.label is not None:
            shown = Labelled(real, _covered(whole.label.stored, axis, depth))
        figures[f"labels_{name}"] = label_views(shown, labels, params.label_names, spec)
    return figures


def _covered(volume: Array, axis: int, depth: int) -> Array:
    return np.take(volume, range(depth), axis=axis)


def draw_scores(scores: pd.DataFrame, plotted: Sequence[str]) -> dict[str, Figure]:
    """Box plots of some metrics, with every case; those that were not measured are left out."""
    shown = [column for column in plotted if find_metric(column) and column in scores]
    return {"scores": metric_plots(scores, shown)} if shown else {}


def draw_confidence(curves: pd.DataFrame) -> dict[str, Figure]:
    """Risk-coverage curves of every method, where the truth is known."""
    return {} if curves.empty else {"risk_coverage": risk_coverage(curves)}


def draw_training(
    models: Mapping[str, Mapping[str, Any]], imputed_cases: Mapping[str, Promise]
) -> dict[str, Figure]:
    """Loss curves, and what the attention looks at (paper, Fig. 6)."""
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
