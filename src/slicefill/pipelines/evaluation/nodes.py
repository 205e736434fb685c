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
    imputed_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: EvaluationParams,
    executor: ExecutorParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the synthetic slices of the imputed test cases whose removed slices are known.

    Returns:
        Scores, a row per imputed case; and the imputed cases that could not be scored: `case`,
        `reason`.

    Raises:
        ValueError: If no case could be scored because each one failed.
    """
    from slicefill.execution.each import run_each

    tested = splits[splits["split"] == "test"]
    subject = dict(zip(tested["case"], tested["subject"], strict=True))
    pairs = _with_truth(imputed_cases, cases, subject)
    scores, failed = run_each(partial(_score_case, params), pairs, executor, "score")
    if failed and not scores:
        msg = f"none of {len(failed)} imputed cases could be scored: {next(iter(failed.values()))}"
        raise ValueError(msg)
    rows = []
    for name, own in scores.items():
        method, _, case = name.rpartition("/")
        if own is None:
            logger.warning("%s is not scored: no true slice lies where a synthetic one does", name)
        else:
            rows.append({"case": case, "subject": subject[case], "method": method, **own})
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["case", "subject", "method"])
    return table, pd.DataFrame(failed.items(), columns=["case", "reason"])


def _with_truth(
    imputed_cases: dict[str, Promise], cases: dict[str, Promise], subjects: dict[str, str]
) -> dict[str, tuple[Promise, Promise | None]]:
    """Imputed cases, `method/case`, of these subjects, each with what it was subsampled from."""
    return {
        name: (promise, cases.get(case))
        for name, promise in imputed_cases.items()
        if (case := name.rpartition("/")[2]) in subjects
    }


def _score_case(
    params: EvaluationParams, name: str, pair: tuple[Promise, Promise | None]
) -> dict[str, float] | None:
    """Scores of an imputed case; None where no slice was removed, so that nothing is known."""
    from slicefill.metrics.confidence import confidence_errors, confidence_scores
    from slicefill.metrics.correspondence import corresponding_slices
    from slicefill.metrics.scoring import score_imputed_case

    imputed, truth = pair[0].make(), pair[1]
    scored = corresponding_slices(imputed.record, params.label_names)
    if scored is None:
        return None
    if truth is None:
        msg = f"{name}: the case that it was subsampled from is not there; run ingestion again"
        raise ValueError(msg)
    real = truth.make()
    known = confidence_errors(imputed, real, scored, params.body_quantile)
    return score_imputed_case(imputed, real, scored, params) | confidence_scores(known)


def score_confidence(
    imputed_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: EvaluationParams,
    executor: ExecutorParams,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tell how far synthetic slices are trusted and, where the truth is known, if rightly so.

    Returns:
        All synthetic slices, as `metrics.confidence.slice_confidence`, and the risk-coverage curves
        of test cases, as `metrics.risk.risk_curves`; both with `method`, `case` and `subject`.
        Cases that cannot be read are in the log.
    """
    from slicefill.execution.each import run_each

    subjects = dict(zip(splits["case"], splits["subject"], strict=True))
    tested = splits.query("split == 'test'")["case"]
    known = {case: cases[case] for case in tested if case in cases}
    pairs = _with_truth(imputed_cases, known, subjects)
    judged, _ = run_each(partial(_judge_case, params), pairs, executor, "judge")
    slices, curves = ({name: each[part] for name, each in judged.items()} for part in (0, 1))
    return _join(slices, subjects), _join(curves, subjects)


def _judge_case(
    params: EvaluationParams, name: str, pair: tuple[Promise, Promise | None]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Confidence of every synthetic slice, and the risk-coverage curve; empty without a truth."""
    from slicefill.metrics.confidence import confidence_errors, slice_confidence
    from slicefill.metrics.correspondence import corresponding_slices
    from slicefill.metrics.risk import risk_curves

    imputed, truth = pair[0].make(), pair[1]
    scored = corresponding_slices(imputed.record, params.label_names)
    if scored is None or truth is None:
        return slice_confidence(imputed.record, None), pd.DataFrame()
    known = confidence_errors(imputed, truth.make(), scored, params.body_quantile)
    return slice_confidence(imputed.record, known), risk_curves(known.confidence, known.error)


def _join(tables: dict[str, pd.DataFrame], subjects: dict[str, str]) -> pd.DataFrame:
    """Stack the tables of all imputed cases, `method/case`, and say whose each row is."""
    rows = [pd.DataFrame(columns=["method", "case", "subject"])]
    for name, table in tables.items():
        method, _, case = name.rpartition("/")
        whose = {"method": method, "case": case, "subject": subjects[case]}
        rows.append(table.assign(**whose)[[*whose, *table]])
    return pd.concat([each for each in rows if not each.empty] or rows)


def summarise_scores(
    scores: pd.DataFrame, params: EvaluationParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str]:
    """Summary, comparison against the best classical method, and the table to read."""
    from slicefill.metrics.statistics import compare, summarise
    from slicefill.reporting.tables import headline_metrics, summary_table

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
    imputed_cases: dict[str, Promise],
    cases: dict[str, Promise],
    scores: pd.DataFrame,
    risk_coverage: pd.DataFrame,
    models: Models,
    params: EvaluationParams,
) -> dict[str, Any]:
    """Views of cases and labels, plots of scores and confidence, loss curves and attention maps."""
    from slicefill.reporting.evaluation_figures import (
        draw_cases,
        draw_confidence,
        draw_scores,
        draw_training,
    )

    trained = {name: read() for name, read in models.items() if name in params.figure_methods}
    return {
        **draw_cases(imputed_cases, cases, params),
        **draw_scores(scores),
        **draw_confidence(risk_coverage),
        **draw_training(trained, imputed_cases),
    }


def write_report(
    summary: pd.DataFrame,
    comparisons: pd.DataFrame,
    slice_confidence: pd.DataFrame,
    adaptation_gains: pd.DataFrame,
    ingestion_report: pd.DataFrame,
    figures: dict[str, bytes],
    parameters: dict[str, Any],
) -> str:
    """Put everything a reader needs into one HTML file."""
    from slicefill.reporting.evaluation_report import compose_report
    from slicefill.reporting.report import render_report

    tables = {
        "summary": summary,
        "comparisons": comparisons,
        "slice_confidence": slice_confidence,
        "adaptation": adaptation_gains,
        "refused": ingestion_report,
    }
    return render_report(compose_report(tables, figures, as_plain(parameters)))
