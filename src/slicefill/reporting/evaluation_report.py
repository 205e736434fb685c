"""The report of an evaluation: cases, scores, what was gained, and everything else folded."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from slicefill import __version__
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.metrics import ALL_SLICES, list_metrics
from slicefill.metrics.statistics import tested_columns
from slicefill.params import EvaluationParams
from slicefill.reporting.report import ReportContent, ReportFigure, ReportTable
from slicefill.reporting.tables import (
    comparison_table,
    least_confident,
    shown_columns,
    summary_table,
)

_TICKS = "Marks at the border are acquired slices; the cut across slices shows a synthetic one."
_NO_TRUTH = "There are no true slices to compare with."
_CAPTIONS = {
    "views": "{}: truth, each method and its absolute difference from the truth, on one colour "
    f"scale. {_TICKS}",
    "imputed": f"{{}}: acquired slices, as thick as they lie apart, and each method. {_TICKS} "
    f"{_NO_TRUTH}",
    "labels": "{}: labels of the truth, of interpolation ({baseline}) and of learned methods.",
    "outlines": "{}: the labels of the acquired slices, imputed by interpolation ({baseline}) and "
    "by learned methods.",
    "risk_coverage": "Mean absolute error of the synthetic voxels that are kept, most confident "
    "first: mean over subjects. The lower, the better confidence tells where the errors are.",
    "scores": "Every test case (dots, joined per case) and its method.",
    "realism": "Slices of each method among real ones: mean and one standard deviation along the "
    "first two axes of the reference encoder.",
    "loss_curves": "{}: loss terms and validation on held-out inner slices; best epoch marked.",
    "attention": "{}: where the attention of the multitask model looks.",
}
_OF_CASES = ("views", "imputed", "labels", "outlines")  # in this order, case by case
_CONFIDENCE_CAPTION = (
    "Confidence in the body: its rank correlation with the error, its bias, its risk."
)

_REALISM_CAPTION = (
    "Realism of the whole set; the row real is real slices against real ones of the same subjects."
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
    summary, comparisons = tables["summary"], tables["comparisons"]
    suspects = least_confident(tables["slice_confidence"])
    drawn = {name: ReportFigure(_caption(name, parameters), png) for name, png in figures.items()}
    cases = [drawn[name] for name in sorted(drawn, key=_by_case) if name.startswith(_OF_CASES)]
    known = not summary.empty
    return ReportContent(
        title=f"Slicefill: {parameters['experiment']}",
        headline=_headline(summary, comparisons, parameters),
        settings=_settings(parameters, _imputed_by(tables)),
        figures=cases,
        tables=_main_tables(summary, comparisons, parameters) if known else suspects,
        folded=[
            *(_further_tables(summary, comparisons, parameters) if known else []),
            *(suspects if known else []),
            *_gains(tables["adaptation"]),
            *_refusals(tables["refused"]),
            *(figure for figure in drawn.values() if figure not in cases),
        ],
        warnings=_warnings(tables),
        footnotes=_footnotes(parameters),
    )


def _warnings(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What a reader must know before believing a number."""
    refused = tables["refused"]
    warnings = [] if refused.empty else [f"{len(refused)} raw case(s) were refused, see below."]
    kept = tables["adaptation"].query("used == @PRETRAINED")
    if not kept.empty:
        warnings.append(f"Adaptation kept the shipped weights: {kept['reason'].iloc[0]}.")
    return warnings


def _gains(adaptation: pd.DataFrame) -> list[ReportTable]:
    """What adapted weights were worth on the slices that judged them."""
    if adaptation.empty:
        return []
    note = (
        "PSNR and SSIM of inner slices that were held out, and Dice of labels predicted for them, "
        "pair by pair; better: fraction of the groups; "
        f"used: the weights that impute, {ADAPTED} or {PRETRAINED} (the shipped ones). "
        f"{adaptation['reason'].iloc[0]}."
    )
    shown = adaptation.drop(columns="reason")
    return [ReportTable("Adaptation against the shipped weights.", shown, note)]


def _main_tables(
    summary: pd.DataFrame, comparisons: pd.DataFrame, parameters: Mapping[str, Any]
) -> list[ReportTable]:
    """The main metrics of every method, and what was gained in them."""
    shown = shown_columns(summary, parameters["evaluation"]["headline"])
    learned = comparisons[~_among_references(comparisons, parameters)]
    main = comparisons if learned.empty else learned
    return [
        summary_table(summary, shown, "Synthetic slices only."),
        _comparison(main, shown, parameters, "Each method"),
    ]


def _among_references(comparisons: pd.DataFrame, parameters: Mapping[str, Any]) -> pd.Series:
    return comparisons["method"].isin(parameters["evaluation"]["reference_methods"])


def _further_tables(
    summary: pd.DataFrame, comparisons: pd.DataFrame, parameters: Mapping[str, Any]
) -> list[ReportTable]:
    """Everything else that was measured, as far as it is asked for."""
    shown = shown_columns(summary, parameters["evaluation"]["details"])
    confidence = shown_columns(summary, [each.name for each in list_metrics("confidence")])
    copied = [m for m in summary["metric"].unique() if m.endswith(ALL_SLICES)]
    requested = [each.name for each in list_metrics(per="set") if each.on_request]
    captions = {
        "Further metrics of synthetic slices.": shown,
        _CONFIDENCE_CAPTION: confidence,
        _REALISM_CAPTION: shown_columns(summary, requested),
        "Not comparable: all slices, the copied ones counted, as papers do.": copied,
    }
    tables = [summary_table(summary, own, told) for told, own in captions.items() if own]
    headline = shown_columns(summary, parameters["evaluation"]["headline"])
    rules = comparisons[_among_references(comparisons, parameters)]
    compared = [
        _comparison(comparisons, shown, parameters, "In further metrics, each method"),
        _comparison(rules, headline, parameters, "Each rule of interpolation"),
    ]
    return [*tables, *(table for table in compared if not table.frame.empty)]


def _comparison(
    comparisons: pd.DataFrame, columns: Sequence[str], parameters: Mapping[str, Any], who: str
) -> ReportTable:
    params = parameters["evaluation"]
    references = ", ".join(params["reference_methods"]).replace("_", " ")
    tested = tested_columns(columns, comparisons["metric"].unique())
    return comparison_table(
        comparisons[comparisons["metric"].isin(tested)],
        f"{who} against the best of {references}, metric by metric.",
        params["confidence_level"],
    )


def _refusals(refused: pd.DataFrame) -> list[ReportTable]:
    return [] if refused.empty else [ReportTable("Refused raw cases.", refused)]


def _headline(
    summary: pd.DataFrame, comparisons: pd.DataFrame, parameters: Mapping[str, Any]
) -> str:
    if summary.empty:
        return "Intervals imputed; there is no truth to score against."
    means = summary.pivot(index="method", columns="metric", values="mean")
    learned = (parameters["variant"], ADAPTED, PRETRAINED)
    variant = next((name for name in learned if name in means.index), None)
    if variant is None:
        return "PSNR on synthetic slices: " + ", ".join(
            f"{method} {value:.2f} dB" for method, value in means["psnr_body"].items()
        )
    psnr = {str(method): float(value) for method, value in means["psnr_body"].items()}
    count = summary.query("metric == 'psnr_body' and method == @variant")["n"].item()
    tested = comparisons.query("metric == 'psnr_body' and method == @variant")
    gains = zip(tested["difference"], tested["reference"].astype(str), strict=True)
    against = "".join(
        f"{gain:+.2f} dB against the best classical method ({best}); " for gain, best in gains
    )
    return (
        f"{variant}: {psnr[variant]:.2f} dB on synthetic slices inside the body, "
        f"{against}{count} subject(s)."
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


def _by_case(name: str) -> tuple[str, str]:
    """Order pictures by case: first the images of one, then its labels."""
    kind, _, case = name.partition("_")
    return case, f"{_OF_CASES.index(kind)}" if kind in _OF_CASES else name


def _caption(name: str, parameters: Mapping[str, Any]) -> str:
    baseline = parameters["evaluation"]["label_baseline"].replace("_", " ")
    for kind, text in _CAPTIONS.items():
        if name.startswith(kind):
            return text.format(name.removeprefix(kind).strip("_"), baseline=baseline)
    return name
