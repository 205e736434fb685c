"""Figures and report of a comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from slicefill import __version__
from slicefill.geometry import slices_back
from slicefill.metrics.statistics import (
    average_seeds,
    compare_methods,
    seed_spread,
    summarise_scores,
)
from slicefill.params import ComparisonParams, ScoringParams
from slicefill.reporting.comparison_tables import all_regions, compared_columns, preset_table
from slicefill.reporting.figures import (
    first_channel,
    grid_spec,
    metric_plots,
    overlays,
    paired_plots,
    segmentation_curves,
)
from slicefill.reporting.report import ReportContent, ReportFigure, ReportTable
from slicefill.reporting.tables import comparison_table, signed
from slicefill.segmentation.prediction import acquired_labels
from slicefill.types import Array, Case, Lazy, Prediction

_FOOTNOTES = {
    "acquired": "Networks see the test case imputed by the same method, unless the row says "
    "otherwise; predictions of synthetic slices are dropped and acquired slices scored.",
    "all": "Every method comes to the removed slices in its own way and is scored on them against "
    "the labels of the isotropic scan; a method that stays on acquired slices has no score.",
}
_CAPTIONS = {
    "scores": "Every test case (dots, joined per case) and its method; seeds averaged.",
    "paired_dice": "Every test case under the reference method and under another.",
    "learning_curves": "Training loss and validation Dice of every network.",
    "overlay": "Acquired slices: the prediction is a tint, strong where it is wrong; the truth "
    "is an outline.",
}


def compare_means(
    scores: pd.DataFrame,
    params: ScoringParams,
    comparison: ComparisonParams,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Test the means over classes of every row against its reference, if that was run.

    Holm corrects over the rows of one reference. Empty if no reference was run.

    Args:
        scores: One row per case, method and seed.
        params: Confidence level, bootstrap samples, seed.
        comparison: The rows and their references.
        columns: What is tested; None: the means over classes.
    """
    known = scores.columns.intersection(["case", "subject", "method", "seed", "network"])
    keys = [*known, *(columns or compared_columns(scores))]
    run, tables = set(scores["method"]), [pd.DataFrame()]
    for reference, rows in comparison.references.items():
        if reference in run and not run.isdisjoint(rows):
            own = scores.loc[scores["method"].isin([reference, *rows]), keys]
            tables.append(compare_methods(own, [reference], params))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def compose_report(
    scores: pd.DataFrame,
    paper: pd.DataFrame | None,
    figures: Mapping[str, bytes],
    parameters: Mapping[str, Any],
) -> ReportContent:
    """Compose the report.

    Args:
        scores: One row per case, method and seed.
        paper: The paper's own table for this preset, if it has one.
        figures: PNG by name.
        parameters: All parameters of the run.
    """
    scoring = ScoringParams.model_validate(parameters["scoring"])
    comparison = ComparisonParams.model_validate(parameters["comparison"])
    summary = summarise_scores(scores, scoring)
    run = set(scores["method"])
    missing = [method.title for name, method in comparison.chosen.items() if name not in run]
    means = compare_means(scores, scoring, comparison)
    drawn = {name: ReportFigure(_caption(name), png) for name, png in figures.items()}
    cases = [figure for name, figure in drawn.items() if name.startswith("overlay")]
    lay_out = partial(preset_table, scores, summary, scoring=scoring, comparison=comparison)
    return ReportContent(
        title=f"Slicefill: {parameters['experiment']}",
        headline=_headline(summary, comparison),
        settings=_settings(parameters, comparison),
        figures=cases,
        tables=[lay_out(["mean"]), *_tests(means, scoring, comparison)],
        folded=[
            *_by_class(lay_out, all_regions(scoring.label_names)),
            *_seeds(scores, comparison),
            *_paper(paper),
            *(figure for figure in drawn.values() if figure not in cases),
        ],
        warnings=[f"Not run, or failed: {', '.join(missing)}."] if missing else [],
        footnotes=[
            _FOOTNOTES[scoring.slices],
            _steps(comparison),
        ],
    )


def _tests(
    means: pd.DataFrame, scoring: ScoringParams, comparison: ComparisonParams
) -> list[ReportTable]:
    """Every method against the reference, by its title; nothing where that was not run."""
    if means.empty:
        return []
    titles = {name: method.title for name, method in comparison.methods.items()}
    named = means.replace({"method": titles, "reference": titles})
    return [
        comparison_table(own, f"Each method against {reference}.", scoring.confidence_level)
        for reference, own in named.groupby("reference", sort=False)
    ]


def _by_class(
    lay_out: Callable[[Sequence[str]], ReportTable], regions: Sequence[str]
) -> list[ReportTable]:
    if len(regions) < 2:
        return []
    return [replace(lay_out(regions[:-1]), caption="By class.", note="")]


def _paper(paper: pd.DataFrame | None) -> list[ReportTable]:
    if paper is None:
        return []
    caption = "The paper's own numbers, on its own data: not comparable with ours."
    return [ReportTable(caption, paper, "Dice and RAVD in %, ASSD and MSSD in mm.")]


def _seeds(scores: pd.DataFrame, comparison: ComparisonParams) -> list[ReportTable]:
    """Show the spread of the means over training seeds, where there are several."""
    if scores["seed"].nunique() < 2:
        return []
    spread, columns = seed_spread(scores), compared_columns(scores)
    wide = spread[spread["metric"].isin(columns)].pivot(
        index="method", columns="metric", values="sd"
    )
    wide = wide.loc[[name for name in comparison.chosen if name in wide.index], columns]
    wide.insert(0, "method", [comparison.chosen[name].title for name in wide.index])
    caption = "Standard deviation over the seeds of the mean over subjects."
    return [ReportTable(caption, wide.reset_index(drop=True))]


def _headline(summary: pd.DataFrame, comparison: ComparisonParams) -> str:
    means = summary[summary["metric"] == "dice_mean"].set_index("method")["mean"].dropna()
    reference = comparison.presets[comparison.preset].reference
    means = means[[name for name in comparison.chosen if name in means.index]]
    best = str(means.idxmax())
    told = f"Best Dice: {comparison.chosen[best].title}, {means[best]:.1%}"
    if reference not in means:
        return f"{told}."
    if best == reference:
        return f"{told}, which the others are compared with: none is better."
    gain = 100 * (means[best] - means[reference])
    return f"{told}, {signed(gain)} points against {comparison.chosen[reference].title}."


def _settings(parameters: Mapping[str, Any], comparison: ComparisonParams) -> dict[str, str]:
    segmentation, thin = parameters["segmentation"], parameters["anisotropization"]
    options = segmentation["optimisation"]
    return {
        "Experiment": str(parameters["experiment"]),
        "Preset": comparison.preset,
        "Engine": comparison.presets[comparison.preset].engine,
        "Subsampled": f"×{thin['factor']} along {thin['axis']}",
        "Training": f"{options['epochs']} epochs of {options['steps_per_epoch']} steps, batch "
        f"{options['batch']}, learning rate {options['learning_rate']}",
        "Seeds": ", ".join(map(str, segmentation["seeds"])),
        "Slicefill": __version__,
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _steps(comparison: ComparisonParams) -> str:
    rows = comparison.chosen.values()
    longer = [f"{row.title} (×{row.steps:g})" for row in rows if row.steps != 1]
    told = "Every method had at most the same number of training steps"
    return f"{told}, but for {', '.join(longer)}." if longer else f"{told}."


def _caption(name: str) -> str:
    for kind, text in _CAPTIONS.items():
        if name.startswith(kind):
            return text
    return name


def draw_methods(scores: pd.DataFrame, comparison: ComparisonParams) -> dict[str, Figure]:
    """Box plots per metric, and every case against the reference method."""
    titles = {name: method.title for name, method in comparison.chosen.items()}
    averaged = average_seeds(scores)
    order = [name for name in titles if name in set(averaged["method"])]
    averaged = averaged.set_index("method").loc[order].reset_index()
    averaged["method"] = averaged["method"].map(titles)
    figures = {"scores": metric_plots(averaged, compared_columns(scores))}
    reference = titles[comparison.presets[comparison.preset].reference]
    others = [titles[name] for name in order if titles[name] != reference]
    if others and reference in set(averaged["method"]):
        figures["paired_dice"] = paired_plots(averaged, "dice_mean", reference, others)
    return figures


def draw_learning(history: pd.DataFrame, comparison: ComparisonParams) -> dict[str, Figure]:
    """Training loss and validation Dice of every network whose history has them."""
    titles = {name: method.title for name, method in comparison.methods.items()}
    histories = {
        f"{titles[str(method)]}/{network}": own
        for (method, network), own in history.groupby(["method", "network"], sort=False)
        if {"train/loss", "validation/dice"} <= set(own["term"])
    }
    return {"learning_curves": segmentation_curves(histories)} if histories else {}


def telling_cases(scores: pd.DataFrame) -> list[str]:
    """Order test cases for drawing: the median, the worst, then the others.

    By the mean Dice over all methods, so that the choice favours no method.
    """
    means = scores.groupby("case")["dice_mean"].mean().sort_values()
    ranked = [str(case) for case in means.index]
    median = ranked.pop(len(ranked) // 2)
    return [median, *ranked]


def draw_case(
    acquired_case: Case,
    scores: pd.DataFrame,
    predictions: Mapping[str, Lazy[Prediction]],
    *,
    scoring: ScoringParams,
    comparison: ComparisonParams,
) -> Figure:
    """Draw one case: truth and what each method found, on the acquired slices.

    Args:
        acquired_case: The case, with its label map.
        scores: Its rows; of several seeds the first is drawn.
        predictions: By name.
        scoring: Label names.
        comparison: The methods' titles.
    """
    found: dict[str, Array] = {}
    axis = 0
    for row in (
        scores.sort_values("seed", kind="stable").drop_duplicates("method").to_dict("records")
    ):
        prediction = predictions[row["prediction"]].make()
        axis = prediction.record["axis"]
        kept = acquired_labels(prediction)
        title = comparison.chosen[row["method"]].title
        found[f"{title}\n{row['dice_mean']:.3f}"] = slices_back(kept, axis)
    truth = None if acquired_case.label is None else acquired_case.label.stored
    title = f"{scores['case'].iloc[0]}: prediction tinted, truth outlined, Dice"
    spec = grid_spec(title, acquired_case.image, axis, label=acquired_case.label)
    return overlays(first_channel(acquired_case.image), truth, found, scoring.label_names, spec)
