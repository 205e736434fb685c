"""Statistics of methods from scores per case; the units are the subject and the training.

Scores have the columns `case`, `subject`, `method` and one column per metric; where what is scored
was trained, also `seed`, of the training, and perhaps `engine`, `network` (methods with the same
one share that training) and `prediction`. A value that is nan or infinite could not be measured: it
is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.metrics import ALL_SLICES, find_metric, measured
from slicefill.metrics.intervals import (
    SUBJECTS,
    SUBJECTS_AND_TRAININGS,
    correct_by_holm,
    estimate_crossed,
    interval_over_subjects,
    signed_rank_p,
)
from slicefill.metrics.pairing import find_pairs, finite, list_networks
from slicefill.params import StatisticsParams

if TYPE_CHECKING:
    import pandas as pd

LEAST_TESTED = 6
"""Fewest subjects with a test and an interval: of five, no two-sided signed-rank p is below .05."""
SUMMARY = ["method", "metric", "n", "trainings", "dropped", "mean", "sd", "ci_low", "ci_high"]
SUMMARY += ["noise"]
"""Columns of `summarise_scores`."""
COMPARISON = ["metric", "method", "reference", "n", "trainings", "difference", "ci_low", "ci_high"]
COMPARISON += ["noise", "p", "p_holm", "harmed"]
"""Columns of `compare_methods`."""
_KEYS = ["case", "subject", "method"]
_RUN = ["seed", "engine", "network", "prediction"]  # which training a row comes from


def average_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Average what was measured over the seeds of each case and method.

    Args:
        scores: One row per case, method and seed.

    Returns:
        One row per case and method, without `seed`, `engine` and `prediction`. Scores without
        `seed` come back as they are.
    """
    if "seed" not in scores:
        return scores
    finite = scores.drop(columns=_RUN, errors="ignore").replace([np.inf, -np.inf], np.nan)
    return finite.groupby(_KEYS, sort=False, as_index=False).mean()


def seed_spread(scores: pd.DataFrame) -> pd.DataFrame:
    """Spread of the mean of each method over trainings that differ in their seed alone.

    Args:
        scores: One row per case, method and seed.

    Returns:
        Columns `method`, `metric`, `sd` (over seeds, of the mean over subjects; nan for one seed).
    """
    metrics = measured(scores.columns)
    finite = scores.replace([np.inf, -np.inf], np.nan)
    subjects = finite.groupby(["method", "seed", "subject"], sort=False)[metrics].mean()
    means = subjects.groupby(["method", "seed"], sort=False).mean()
    spread = means.groupby("method", sort=False).std().reset_index()
    return spread.melt("method", var_name="metric", value_name="sd")


def summarise_scores(scores: pd.DataFrame, params: StatisticsParams) -> pd.DataFrame:
    """Mean, spread and interval of every metric of every method.

    A subject's cases are averaged first, training by training, then the trainings.

    Args:
        scores: One row per case and method, and seed if methods were trained.
        params: Confidence level, bootstrap samples, seed.

    Returns:
        Columns `method`, `metric`, `n` (subjects), `trainings` (with a value), `dropped` (rows
        without a value), `mean`, `sd` (over subjects), `ci_low`, `ci_high` (of the mean; nan for
        fewer than two subjects), `noise` (what the interval contains: `subjects`, by BCa, or by
        Student's t below `LEAST_RESAMPLED` of them; or, with two trainings or more, `subjects and
        trainings`, the crossed bootstrap).
    """
    import pandas as pd

    rows = []
    for method, own in scores.groupby("method", sort=False):
        for metric in measured(scores.columns):
            values = finite(own[metric])
            runs = _by_run(own.assign(value=values)).dropna(how="all")
            subjects = runs.mean().dropna().to_numpy()
            low, high, noise = _summary_interval(runs.dropna(axis="columns", how="all"), params)
            rows.append(
                {
                    "method": method,
                    "metric": metric,
                    "n": len(subjects),
                    "trainings": len(runs),
                    "dropped": int(values.isna().sum()),
                    "mean": subjects.mean() if len(subjects) else np.nan,
                    "sd": subjects.std(ddof=1) if len(subjects) > 1 else np.nan,
                    "ci_low": low,
                    "ci_high": high,
                    "noise": noise,
                }
            )
    return pd.DataFrame(rows, columns=SUMMARY)


def compare_methods(
    scores: pd.DataFrame, references: list[str], params: StatisticsParams
) -> pd.DataFrame:
    """Test every method against the best reference method, metric by metric.

    Metrics are turned so that more is better (`Metric.merit`), row by row; the reference is the one
    of `references` with the best mean over subjects, of the cases that all of them have. Both sides
    are paired by case and averaged by subject. Not tested are the columns that count copied
    slices, metrics that say so, and a signed metric where its magnitude was measured.

    Trained methods have a `seed`. Another training of the same method has other scores, so that a
    difference counts only if it is larger than that noise, too: interval and p are those of the
    crossed bootstrap (`intervals.estimate_crossed`) over subjects and trainings. Where both share
    the network of every seed (column `network`), its noise is in both and they are paired by
    training, too; else trainings are drawn apart. With one
    training of a method its noise is unknown: the interval is that over subjects, and there is no
    p, which would tell two networks apart and say nothing about methods. Where nothing was trained
    (no `seed`), p is that of Wilcoxon's signed-rank test over subjects, two-sided. Holm corrects
    it over all rows of the table.

    Args:
        scores: One row per case and method, and seed if methods were trained.
        references: The methods of which the best is the reference.
        params: Confidence level, bootstrap samples, seed.

    Returns:
        Columns `metric`, `method`, `reference`, `n` (subjects), `trainings` (of the side with
        fewer), `difference` (mean gain of the method, positive is better, in the unit of the
        metric), `ci_low`, `ci_high`, `noise` (what the interval contains), `p`, `p_holm`, `harmed`
        (fraction of cases in which the method is worse than the reference, trainings averaged).
        With fewer than `LEAST_TESTED` subjects, interval and p are nan.
    """
    import pandas as pd

    columns, networks = measured(scores.columns), list_networks(scores)
    rows = [
        _compared(pair.merits, params, "seed" in scores)
        | {"metric": metric, "method": pair.method, "reference": pair.reference}
        for metric in columns
        if _is_tested(metric, columns)
        for pair in find_pairs(scores, metric, references, networks)
    ]
    comparison = pd.DataFrame(rows, columns=[name for name in COMPARISON if name != "p_holm"])
    holm = correct_by_holm(comparison["p"].to_numpy(dtype=float))
    comparison.insert(COMPARISON.index("p_holm"), "p_holm", holm)
    return comparison


def tested_columns(columns: Iterable[str], compared: Iterable[str]) -> list[str]:
    """Name the columns by which `compare_methods` tests some columns, in their order.

    Args:
        columns: Of scores.
        compared: Those that were tested.

    Example:
        >>> tested_columns(["psnr_body", "ravd_mean"], ["ravd_abs_mean", "psnr_body"])
        ['psnr_body', 'ravd_abs_mean']
    """
    known = set(compared)
    named = [each for column in columns for each in (column, _magnitude(column)) if each in known]
    return list(dict.fromkeys(str(each) for each in named))


def _magnitude(column: str) -> str | None:
    """Name the column of the magnitude of a signed metric."""
    metric = find_metric(column)
    return f"{metric.magnitude}{column.removeprefix(metric.name)}" if metric.magnitude else None


def _is_tested(column: str, columns: list[str]) -> bool:
    """Tell whether methods are tested by a column; of a signed metric, its magnitude is instead."""
    counted = not column.endswith(ALL_SLICES)
    return find_metric(column).tested and counted and _magnitude(column) not in columns


def _by_run(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean of the column `value` over a subject's cases: a row per training, a column per subject.

    Without seeds there is one row.
    """
    seeds = rows["seed"] if "seed" in rows else rows["method"]
    return rows.groupby([seeds.rename("run"), "subject"])["value"].mean().unstack()


def _summary_interval(runs: pd.DataFrame, params: StatisticsParams) -> tuple[float, float, str]:
    """Interval of a mean, and the noise that it contains."""
    if min(runs.shape) > 1:
        found = estimate_crossed([runs.to_numpy()], params)
        return found.low, found.high, SUBJECTS_AND_TRAININGS
    return *interval_over_subjects(runs.mean().to_numpy(), params), SUBJECTS


def _compared(
    merits: list[pd.DataFrame], params: StatisticsParams, trained: bool
) -> dict[str, Any]:
    """Compare the merits of a `Pair`."""
    means = [table.mean(axis=1) for table in merits]
    gains = (means[0] if len(means) == 1 else means[0] - means[1]).dropna()
    subjects = gains.groupby("subject").mean().to_numpy()
    trainings = min(table.shape[1] for table in merits)
    low, high, p, noise = np.nan, np.nan, np.nan, SUBJECTS
    if len(subjects) >= LEAST_TESTED and trained and trainings > 1:
        runs = [table.groupby("subject").mean().T.to_numpy() for table in merits]
        found = estimate_crossed(runs, params)
        low, high, p, noise = found.low, found.high, found.p, SUBJECTS_AND_TRAININGS
    elif len(subjects) >= LEAST_TESTED:
        low, high = interval_over_subjects(subjects, params)
        p = np.nan if trained else signed_rank_p(subjects)
    return {
        "n": len(subjects),
        "trainings": trainings,
        "difference": subjects.mean() if len(subjects) else np.nan,
        "ci_low": low,
        "ci_high": high,
        "noise": noise,
        "p": p,
        "harmed": (gains < 0).mean(),
    }
