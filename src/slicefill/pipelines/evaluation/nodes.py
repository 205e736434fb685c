"""Nodes of the evaluation: score, summarise, draw, report."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from slicefill import tracking
from slicefill.datasets.figures import to_png
from slicefill.fingerprint import code_fingerprint, fingerprint
from slicefill.ingestion.manifest import REFUSED
from slicefill.params import EvaluationParams, as_plain
from slicefill.types import Lazy, Models, Promise, read_record

if TYPE_CHECKING:
    from slicefill.metrics.evaluation import CaseResult, ImputedCase


def evaluate_cases(
    imputed_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: EvaluationParams,
) -> dict[str, Lazy[Any]]:
    """Promise scores and figures of every case, from one reading of its volumes."""
    items = _by_case(imputed_cases, cases, splits, params.figure_cases)
    if params.metrics:
        items |= _learned_from(items, cases, splits)
    code = [code_fingerprint(f"slicefill.{package}") for package in ("metrics", "reporting")]
    drawn = [*params.figure_methods, params.label_baseline]
    rule = [params.body_quantile, params.label_names, drawn, params.metrics, *code]
    return {
        case: Lazy(partial(_evaluate, case, item, params), fingerprint(_of_case(item), rule))
        for case, item in items.items()
    }


def _evaluate(case: str, item: "ImputedCase", params: EvaluationParams) -> "CaseResult":
    from slicefill.metrics.evaluation import evaluate_case

    return evaluate_case(case, item, params, _draw)


def _draw(*given: Any) -> dict[str, bytes]:
    from slicefill.reporting.evaluation_figures import draw_case

    return {name: to_png(figure) for name, figure in draw_case(*given).items()}


def _of_case(item: "ImputedCase") -> list[Any]:
    """What a result depends on besides parameters."""
    imputed = {method: promise.fingerprint for method, promise in item.imputed.items()}
    truth = item.truth.fingerprint if item.truth else None
    return [imputed, truth, item.scored, item.drawn, item.learned_from]


def tabulate_scores(
    evaluated_cases: dict[str, Lazy[Any]],
    imputed_cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: EvaluationParams,
) -> tuple[
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    pd.DataFrame,
    dict[str, bytes],
]:
    """Lay out what the evaluation of all cases found.

    Returns:
        Scores of test cases, a row per imputed case; the imputed cases that could not be scored
        (`case`, `reason`); metrics of all cases of a method together; where their slices lie
        among real ones, as `metrics.realism.ellipses`; all synthetic slices, as
        `metrics.confidence.slice_confidence`; the risk-coverage curves of test cases, as
        `metrics.confidence.risk_curves`; views of the first cases.

    Raises:
        ValueError: If no case could be scored because each one failed.
    """
    from slicefill.reporting.evaluation_tables import tabulate_results

    results = {case: promise.make() for case, promise in evaluated_cases.items()}
    return tabulate_results(results, list(imputed_cases), splits, params.metrics)


def _by_case(
    imputed_cases: Mapping[str, Promise],
    cases: Mapping[str, Promise],
    splits: pd.DataFrame,
    figures: int,
) -> dict[str, "ImputedCase"]:
    """Gather what the methods made of each case, from `method/case`."""
    from slicefill.metrics.evaluation import ImputedCase

    known, tested = set(splits["case"]), set(splits.query("split == 'test'")["case"])
    methods: dict[str, dict[str, Promise]] = {}
    for name, promise in imputed_cases.items():
        method, _, case = name.rpartition("/")
        methods.setdefault(case, {})[method] = promise
    drawn = [case for case in methods if case in cases][:figures]
    return {
        case: ImputedCase(own, cases.get(case), case in tested, case in drawn)
        for case, own in methods.items()
        if case in known
    }


def _learned_from(
    items: Mapping[str, "ImputedCase"], cases: Mapping[str, Promise], splits: pd.DataFrame
) -> dict[str, "ImputedCase"]:
    """Cases of training, imputed or not, for the metrics that look for copied slices."""
    from slicefill.geometry import world_axis
    from slicefill.metrics.evaluation import ImputedCase

    imputed = (promise for item in items.values() for promise in item.imputed.values())
    first = next((read_record(promise) for promise in imputed), None)
    if first is None or "affine" not in first["source"]:
        return {}
    across = world_axis(np.asarray(first["source"]["affine"]), first["axis"])
    seen = [case for case in splits.query("split != 'test'")["case"] if case in cases]
    known = {case: ImputedCase({}, cases[case], scored=False, drawn=False) for case in seen}
    return {
        case: replace(items.get(case, item), learned_from=across) for case, item in known.items()
    }


def summarise_evaluation(
    scores: pd.DataFrame,
    set_scores: pd.DataFrame,
    methods: list[str],
    variant: str,
    params: EvaluationParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str]:
    """Summary, comparison against the best classical method, and the table to read.

    Of the methods that imputed last, the main scores of the run's own are tracked under names that
    any method's have, such as `psnr`, and those of all in detail.
    """
    from slicefill.metrics.statistics import compare_methods, summarise_scores
    from slicefill.reporting.run_summary import main_method, main_scores
    from slicefill.reporting.tables import shown_columns, summary_table

    if scores.empty:
        nothing = "No synthetic slice lies where a slice was removed: nothing to score against.\n"
        return scores, scores, scores, nothing
    summary = summarise_scores(scores, params)
    if not set_scores.empty:
        summary = pd.concat([summary, set_scores], ignore_index=True)
    tracking.log_metrics(main_scores(summary, main_method(methods, variant)))
    means = summary[summary["method"].isin(methods)].dropna(subset="mean")
    names = "detail/" + means["metric"] + "/" + means["method"]
    tracking.log_metrics(dict(zip(names, means["mean"], strict=True)))
    readable = summary_table(summary, shown_columns(summary, params.headline), "").frame
    return (
        summary,
        compare_methods(scores, params.reference_methods, params),
        readable,
        readable.to_markdown(index=False) + "\n",
    )


def draw_figures(
    imputed_cases: dict[str, Promise],
    scores: pd.DataFrame,
    risk_coverage: pd.DataFrame,
    realism_ellipses: pd.DataFrame,
    models: Models,
    params: EvaluationParams,
) -> dict[str, Any]:
    """Plots of scores, confidence and realism, loss curves and attention maps."""
    from slicefill.reporting.evaluation_figures import (
        draw_confidence,
        draw_realism,
        draw_scores,
        draw_training,
    )

    trained = {name: read() for name, read in models.items() if name in params.figure_methods}
    return {
        **draw_scores(scores, params.plotted),
        **draw_confidence(risk_coverage),
        **draw_realism(realism_ellipses),
        **draw_training(trained, imputed_cases),
    }


def write_report(
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    slice_confidence: pd.DataFrame,
    adaptation_gains: pd.DataFrame,
    ingestion_report: pd.DataFrame,
    case_figures: dict[str, bytes],
    figures: dict[str, bytes],
    parameters: dict[str, Any],
) -> str:
    """Put everything a reader needs into one HTML file."""
    from slicefill.reporting.evaluation_report import compose_report
    from slicefill.reporting.report import render_report

    refused = ingestion_report[ingestion_report["outcome"] == REFUSED]
    tables = {
        "summary": summary,
        "comparisons": comparisons,
        "slice_confidence": slice_confidence,
        "adaptation": adaptation_gains,
        "refused": refused.drop(columns=["outcome", "files"]),
    }
    drawn = dict(sorted({**case_figures, **figures}.items()))
    return render_report(compose_report(tables, drawn, as_plain(parameters)))
