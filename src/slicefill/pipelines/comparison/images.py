"""The node that scores what the rows of a table impute, where its preset asks for that."""

import logging
from collections.abc import Iterator, Mapping, Sequence
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
        for a seed has the same scores for all), `summary` and `tests` (against its reference);
        nothing where the preset does not ask for it, or nothing could be scored.
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
    rows = []
    for case, subject in splits.query("split == 'test'")[["case", "subject"]].to_numpy().tolist():
        scored = dict(_score(case, groups, imputed_cases, cases, evaluation))
        for name, (group, own) in groups.items():
            common = {"case": case, "subject": subject, "method": comparison.row(name)}
            rows += [common | {"seed": seed} | scored[group] for seed in own if group in scored]
    scores = pd.DataFrame(rows)
    if scores.empty:
        return {}
    columns = [name for name in (*evaluation.headline, *evaluation.details) if name in scores]
    tests = compare_means(scores, scoring, comparison, columns)
    return {"scores": scores, "summary": summarise_scores(scores, scoring), "tests": tests}


def _score(
    case: str,
    groups: Mapping[str, tuple[str, Any]],
    imputed_cases: Mapping[str, Promise],
    cases: Mapping[str, Promise],
    params: EvaluationParams,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield group and scores of a case; what fails, or has no truth, is said and left out."""
    from slicefill.metrics.evaluation import ImputedCase, MethodResult, evaluate_case

    there = {group: f"{group}/{case}" for group, _ in groups.values()}
    imputed = {group: imputed_cases[key] for group, key in there.items() if key in imputed_cases}
    item = ImputedCase(imputed, cases.get(case), scored=True, drawn=False)
    result: CaseResult = evaluate_case(case, item, params, lambda *_: {})
    for group, found in result.methods.items():
        if isinstance(found, MethodResult) and found.scores:
            yield group, found.scores
        else:
            reason = found.reason or "it has no synthetic slice where a slice was removed"
            logger.warning("%s/%s: not scored: %s", group, case, reason)
