"""Contents of the report of the evaluation."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from slicefill import __version__
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED, SHIPPED
from slicefill.metrics import ALL_SLICES, list_metrics
from slicefill.params import EvaluationParams
from slicefill.reporting.report import ReportContent, ReportFigure, ReportTable
from slicefill.reporting.tables import (
    comparison_table,
    least_confident,
    shown_columns,
    summary_table,
)

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
    if (tables["adaptation"]["used"] == SHIPPED).any():
        warnings.append("Adaptation did not pay on held-out slices: the shipped weights were kept.")
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
        "used: which weights the method `adapted` used, the adapted or the shipped ones."
    )
    return [ReportTable("Adaptation against the shipped weights.", adaptation, note)]


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
    shipped = {PRETRAINED: "shipped", ADAPTED: "shipped, as adaptation left them"}
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
