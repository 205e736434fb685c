"""Evaluation nodes: score, summarise, draw, report."""

import logging
from functools import partial
from typing import Any

import pandas as pd

from slicefill import tracking
from slicefill.params import EvaluationParams, ExecutorParams, as_plain
from slicefill.types import Models, Promise

logger = logging.getLogger(__name__)


def score_cases(
    filled_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: EvaluationParams,
    executor: ExecutorParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the synthetic slices of the filled test cases whose removed slices are known.

    Returns:
        Scores, a row per filled case; and the filled cases that could not be scored: `case`,
        `reason`.

    Raises:
        ValueError: If no case could be scored because each one failed.
    """
    from slicefill.execution.each import run_each

    tested = splits[splits["split"] == "test"]
    person = dict(zip(tested["case"], tested["person"], strict=True))
    pairs = {
        name: (promise, cases.get(case))
        for name, promise in filled_cases.items()
        if (case := name.rpartition("/")[2]) in person
    }
    scores, failed = run_each(partial(_score_case, params), pairs, executor, "score")
    if failed and not scores:
        msg = f"none of {len(failed)} filled cases could be scored: {next(iter(failed.values()))}"
        raise ValueError(msg)
    rows = []
    for name, own in scores.items():
        method, _, case = name.rpartition("/")
        if own is None:
            logger.warning("%s is not scored: no true slice lies where a synthetic one does", name)
        else:
            rows.append({"case": case, "person": person[case], "method": method, **own})
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["case", "person", "method"])
    return table, pd.DataFrame(failed.items(), columns=["case", "reason"])


def _score_case(
    params: EvaluationParams, name: str, pair: tuple[Promise, Promise | None]
) -> dict[str, float] | None:
    """Scores of a filled case; None where no slice was removed, so that nothing is known."""
    from slicefill.metrics.correspondence import corresponding_slices
    from slicefill.metrics.scoring import score_filling

    filled, truth = pair[0].make(), pair[1]
    scored = corresponding_slices(filled.record, params.label_names)
    if scored is None:
        return None
    if truth is None:
        msg = f"{name}: the case that it was thinned from is not there; run ingestion again"
        raise ValueError(msg)
    return score_filling(filled, truth.make(), scored, params)


def summarise_scores(
    scores: pd.DataFrame, params: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str]:
    """Summary, comparison against the best classical method, and the table to read."""
    from slicefill.metrics.statistics import compare, summarise
    from slicefill.report_tables import headline_metrics, summary_table

    if scores.empty:
        nothing = "No synthetic slice lies where a slice was removed: nothing to score against.\n"
        return scores, scores, scores, nothing
    summary = summarise(scores, params)
    means = summary.dropna(subset="mean")
    names = means["metric"] + "/" + means["method"]
    tracking.log_metrics(dict(zip(names, means["mean"], strict=True)))
    readable = summary_table(summary, headline_metrics(summary), "").frame
    return (
        summary,
        compare(scores, params.reference_methods, params),
        readable,
        readable.to_markdown(index=False) + "\n",
    )


def draw_figures(
    filled_cases: dict[str, Promise],
    cases: dict[str, Promise],
    scores: pd.DataFrame,
    models: Models,
    params: EvaluationParams,
) -> dict[str, Any]:
    """Views of cases and labels, score plots, loss curves and attention maps."""
    from slicefill.pipelines.evaluation.drawing import draw_cases, draw_scores, draw_training

    trained = {name: read() for name, read in models.items() if name in params.figure_methods}
    return {
        **draw_cases(filled_cases, cases, params),
        **draw_scores(scores),
        **draw_training(trained, filled_cases),
    }


def write_report(
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    ingestion_report: pd.DataFrame,
    figures: dict[str, bytes],
    parameters: dict[str, Any],
) -> str:
    """Put everything a reader needs into one HTML file."""
    from slicefill.pipelines.evaluation.reporting import compose_report
    from slicefill.report import render_report

    tables = {"summary": summary, "comparisons": comparisons, "refused": ingestion_report}
    return render_report(compose_report(tables, figures, as_plain(parameters)))
