"""Comparison nodes: impute for every row of a table, tabulate, draw and report."""

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import pandas as pd

from slicefill import tracking
from slicefill.fingerprint import fingerprint
from slicefill.ingestion.splits import choose_cases
from slicefill.params import (
    ACQUIRED_ONLY,
    ORACLE,
    ComparisonParams,
    ImputationParams,
    ScoringParams,
    as_plain,
)
from slicefill.pipelines.imputation.nodes import promise_imputed
from slicefill.simulation.oracle import restore_slices
from slicefill.types import Case, Lazy, Models, Prediction, Promise

_MOST_REGIONS = 4  # classes and mean side by side, in what is read; the CSV has all


def list_methods(comparison: ComparisonParams, parameters: dict[str, Any]) -> list[str]:
    """Name the methods that the rows of the table impute with, each once.

    A method that is trained is trained anew, with another seed, for each seed of the segmentation
    networks, so that the spread of these contains that of the synthesis.
    """
    from slicefill.imputation.methods import list_repeats

    made = (ACQUIRED_ONLY, ORACLE)
    named = dict.fromkeys(row.imputed_by for row in comparison.chosen.values())
    count = len(as_plain(parameters)["segmentation"]["seeds"])
    repeats = [list_repeats(name, count, parameters) for name in named if name not in made]
    return [name for own in repeats for name in own]


def impute_for_methods(
    acquired_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    models: Models,
    params: ImputationParams,
    comparison: ComparisonParams,
    parameters: dict[str, Any],
) -> tuple[dict[str, Promise], list[str]]:
    """Promise every case, imputed for every chosen method, as `group/case`; name the groups.

    Where no network learns from imputed cases, only those of the test are imputed. A method that
    cannot be prepared, because its training failed or its name is unknown, is one failure among the
    cases; the others go on.
    """
    names = list_methods(comparison, parameters)
    repeated = comparison.repeated(names, as_plain(parameters)["segmentation"]["seeds"])
    rows = [method for method, _ in repeated.values()]
    groups = {method.group: method for method in rows if method.group}
    learned = {method.learned_group for method in rows}
    tested = choose_cases(acquired_cases, splits, "test")
    promises: dict[str, Promise] = {}
    for group, method in groups.items():
        chosen = acquired_cases if group in learned else tested
        try:
            if method.imputed_by == ORACLE:
                imputed = _restore(chosen, cases)
            else:
                own = method.rule(params)
                imputed = promise_imputed(chosen, method.imputed_by, models, own, parameters)
        except Exception as error:  # whatever is wrong with its model, the others go on
            imputed = {"every_case": Promise(partial(_refuse, error), "")}
        promises |= {f"{group}/{case}": promise for case, promise in imputed.items()}
    return promises, list(groups)


def _restore(acquired_cases: dict[str, Promise], cases: dict[str, Promise]) -> dict[str, Promise]:
    """Promise the true slices of every case that is there."""
    return {
        case: Promise(
            partial(_make_true, cases[case], promise),
            fingerprint(ORACLE, cases[case].fingerprint, promise.fingerprint),
        )
        for case, promise in acquired_cases.items()
        if case in cases
    }


def _make_true(isotropic: Promise, acquired: Promise) -> Case:
    return restore_slices(isotropic.make(), acquired.make())


def _refuse(error: Exception) -> NoReturn:
    raise error


def tabulate_comparison(
    segmentation_scores: pd.DataFrame, params: ScoringParams, comparison: ComparisonParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str, str]:
    """Summary and paired tests as data; the table as data, as Markdown and as LaTeX."""
    from slicefill.metrics.statistics import summarise_scores
    from slicefill.reporting.comparison_report import compare_means
    from slicefill.reporting.comparison_tables import (
        all_regions,
        preset_numbers,
        preset_table,
        to_latex,
        to_markdown,
    )
    from slicefill.reporting.run_summary import main_scores

    summary = summarise_scores(segmentation_scores, params)
    lay_out = partial(
        preset_table, segmentation_scores, summary, scoring=params, comparison=comparison
    )
    regions = all_regions(params.label_names)
    table = lay_out(regions)
    readable = table if len(regions) <= _MOST_REGIONS else lay_out(["mean"])
    for name, own in summary.dropna(subset="mean").groupby("method"):
        with tracking.child_run(str(name)):
            tracking.log_metrics(main_scores(summary, str(name)))
            details = dict(zip("detail/" + own["metric"], own["mean"], strict=True))
            tracking.log_metrics(details)
    tests = compare_means(segmentation_scores, params, comparison)
    latex = to_latex(readable, f"tab:{comparison.preset}")
    return preset_numbers(summary, comparison), tests, table.frame, to_markdown(readable), latex


def draw_comparison(
    segmentation_scores: pd.DataFrame,
    segmentation_history: pd.DataFrame,
    comparison: ComparisonParams,
) -> dict[str, Any]:
    """Box plots, every case against the reference method, learning curves."""
    from slicefill.reporting.comparison_report import draw_learning, draw_methods

    return {
        **draw_methods(segmentation_scores, comparison),
        **draw_learning(segmentation_history, comparison),
    }


def draw_overlays(
    segmentation_scores: pd.DataFrame,
    predictions: dict[str, Lazy[Prediction]],
    acquired_cases: dict[str, Promise],
    params: ScoringParams,
    comparison: ComparisonParams,
) -> dict[str, Any]:
    """Truth and predictions of the median and the worst test cases, in three views."""
    from slicefill.reporting.comparison_report import draw_case, telling_cases

    return {
        f"overlay_{case}": draw_case(
            acquired_cases[case].make(),
            segmentation_scores[segmentation_scores["case"] == case],
            predictions,
            scoring=params,
            comparison=comparison,
        )
        for case in telling_cases(segmentation_scores)[: params.figure_cases]
    }


def write_comparison_report(
    segmentation_scores: pd.DataFrame,
    comparison_figures: dict[str, bytes],
    overlay_figures: dict[str, bytes],
    paper_tables: dict[str, Callable[[], pd.DataFrame]],
    parameters: dict[str, Any],
) -> str:
    """Put tables, tests, figures and the paper's numbers into one HTML file."""
    from slicefill.reporting.comparison_report import compose_report
    from slicefill.reporting.report import render_report

    plain = as_plain(parameters)
    preset = plain["comparison"]["preset"]
    paper = paper_tables[preset]() if preset in paper_tables else None
    figures = {**comparison_figures, **overlay_figures}
    return render_report(compose_report(segmentation_scores, paper, figures, plain))
