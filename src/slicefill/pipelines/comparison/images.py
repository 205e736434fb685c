"""The node that scores what the rows of a table impute, where its preset asks for that."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill.params import ComparisonParams, EvaluationParams, ScoringParams
from slicefill.types import Promise

if TYPE_CHECKING:
    from slicefill.metrics.evaluation import CaseResult

logger = logging.getLogger(__name__)


def score_imputed(
    imputed_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    compared_methods: Sequence[str],
    seeds: Sequence[int],
    comparison: ComparisonParams,
    evaluation: EvaluationParams,
    scoring: ScoringParams,
) -> dict[str, pd.DataFrame]:
    """Score synthetic slices and their labels, as an evaluation does, by row and seed.

    Returns:
        `scores` (one row per case, row of the table and seed; a method that is not trained again
        for a seed has the same scores for all), `summary` and `tests` (against its reference),
        where anything could be scored; and `unscored` (`case`, as `group/case`, and `reason`).
        Nothing where the preset does not ask for it.
    """
    from slicefill.metrics.statistics import summarise_scores
    from slicefill.reporting.comparison_report import compare_means

    if not comparison.presets[comparison.preset].images:
        return {}
    groups = {
        name: (row.group, own)
        for name, (row, own) in comparison.repeated(compared_methods, seeds).items()
        if row.group
    }
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for case, subject in splits.query("split == 'test'")[["case", "subject"]].to_numpy().tolist():
        scored, reasons = _score(case, groups, imputed_cases, cases, evaluation)
        failed |= reasons
        for name, (group, own) in groups.items():
            common = {"case": case, "subject": subject, "method": comparison.row(name)}
            rows += [common | {"seed": seed} | scored[group] for seed in own if group in scored]
    scores = pd.DataFrame(rows)
    made = {"unscored": pd.DataFrame(failed.items(), columns=["case", "reason"])}
    if scores.empty:
        return made
    columns = [name for name in (*evaluation.headline, *evaluation.details) if name in scores]
    tests = compare_means(scores, scoring, comparison, columns)
    return made | {
        "scores": scores,
        "summary": summarise_scores(scores, scoring),
        "tests": tests,
    }


def _score(
    case: str,
    groups: Mapping[str, tuple[str, Any]],
    imputed_cases: Mapping[str, Promise],
    cases: Mapping[str, Promise],
    params: EvaluationParams,
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Return scores of a case by group, and by `group/case` why others have none."""
    from slicefill.metrics.evaluation import ImputedCase, MethodResult, evaluate_case

    there = {group: f"{group}/{case}" for group, _ in groups.values()}
    imputed = {group: imputed_cases[key] for group, key in there.items() if key in imputed_cases}
    item = ImputedCase(imputed, cases.get(case), scored=True, drawn=False)
    result: CaseResult = evaluate_case(case, item, params, lambda *_: {})
    scores, reasons = {}, {}
    for group, found in result.methods.items():
        if isinstance(found, MethodResult) and found.scores:
            scores[group] = found.scores
        elif found.reason:
            reasons[f"{group}/{case}"] = found.reason
        else:
            logger.warning("%s/%s: no synthetic slice where a slice was removed", group, case)
    return scores, reasons
