"""Statistics of methods from scores per case, with the subject as the unit.

Scores have the columns `case`, `subject`, `method` and one column per metric; where each case was
scored with several trained networks, also `seed` (and perhaps `engine` and `prediction`). A value
that is nan or infinite could not be measured: it is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import ALL_SLICES, find_metric, measured
from slicefill.params import StatisticsParams

if TYPE_CHECKING:
    import pandas as pd

LEAST_TESTED = 6
"""Fewest subjects with a test and an interval: of five, no two-sided signed-rank p is below .05."""
_KEYS = ["case", "subject", "method"]
_RUN = ["seed", "engine", "prediction"]  # which training a row comes from


def merit(metric: str, values: pd.Series) -> pd.Series:
    """Turn a metric into one of which more is better: itself, or minus its distance to the ideal.

    Args:
        metric: A column of the scores.
        values: Its values.

    Raises:
        ValueError: If there is no such metric.

    Example:
        >>> import pandas as pd
        >>> merit("gradient_ratio", pd.Series([0.75, 1.5])).tolist()
        [-0.25, -0.5]
    """
    return find_metric(metric).merit(values)


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
    """Mean, spread and bootstrap interval of every metric of every method.

    A case's seeds are averaged first, then a subject's cases.

    Args:
        scores: One row per case and method, and seed if there are several.
        params: Confidence level, bootstrap samples, seed.

    Returns:
        Columns `method`, `metric`, `n` (subjects), `dropped` (rows without a value), `mean`,
        `sd` (over subjects), `ci_low`, `ci_high` (of the mean, BCa; nan for fewer than two
        subjects).
    """
    import pandas as pd

    rows = []
    for method, own in scores.groupby("method", sort=False):
        cases = average_seeds(own)
        for metric in measured(scores.columns):
            subjects = _finite(cases[metric]).groupby(cases["subject"]).mean().dropna().to_numpy()
            low, high = _interval(subjects, params)
            rows.append(
                {
                    "method": method,
                    "metric": metric,
                    "n": len(subjects),
                    "dropped": int(_finite(own[metric]).isna().sum()),
                    "mean": subjects.mean() if len(subjects) else np.nan,
                    "sd": subjects.std(ddof=1) if len(subjects) > 1 else np.nan,
                    "ci_low": low,
                    "ci_high": high,
                }
            )
    columns = ["method", "metric", "n", "dropped", "mean", "sd", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def compare_methods(
    scores: pd.DataFrame, references: list[str], params: StatisticsParams
) -> pd.DataFrame:
    """Test every method against the best reference method, metric by metric.

    Metrics are turned so that more is better (`merit`), case by case; the reference is the one
    of `references` with the best mean over subjects. Both sides are paired by
    case, averaged by subject and tested by Wilcoxon's signed-rank test, two-sided; p is
    corrected by Holm over all rows of the table. Not tested are the columns that count copied
    slices, metrics that say so, and a signed metric where its magnitude was measured.

    Args:
        scores: One row per case and method, and seed if there are several: averaged first.
        references: The methods of which the best is the reference.
        params: Confidence level, bootstrap samples, seed.

    Returns:
        Columns `metric`, `method`, `reference`, `n` (subjects), `difference` (mean gain of the
        method, positive is better, in the unit of the metric), `ci_low`, `ci_high`, `p`,
        `p_holm`, `harmed` (fraction of cases in which the method is worse than the reference). With
        fewer than `LEAST_TESTED` subjects, interval and p are nan.
    """
    import pandas as pd

    scores = average_seeds(scores)
    columns = measured(scores.columns)
    rows = [
        _compared(gains, params) | {"metric": metric, "method": method, "reference": reference}
        for metric in columns
        if _is_tested(metric, columns)
        for method, reference, gains in _paired(scores, metric, references)
    ]
    before = ["metric", "method", "reference", "n", "difference", "ci_low", "ci_high", "p"]
    comparison = pd.DataFrame(rows, columns=[*before, "harmed"])
    comparison.insert(len(before), "p_holm", _holm(comparison["p"].to_numpy(dtype=float)))
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


def _finite(values: pd.Series) -> pd.Series:
    return values.astype(float).replace([np.inf, -np.inf], np.nan)


def _interval(values: NDArray[np.float64], params: StatisticsParams) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean (bias-corrected and accelerated)."""
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:  # BCa is undefined where resampling changes nothing
        return float(values[0]), float(values[0])
    from scipy import stats

    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=params.bootstrap_samples,
        confidence_level=params.confidence_level,
        rng=params.seed,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _paired(
    scores: pd.DataFrame, metric: str, references: list[str]
) -> Iterator[tuple[str, str, pd.Series]]:
    """Yield method, reference and the gain per case, indexed by subject and case."""
    oriented = scores.assign(merit=merit(metric, _finite(scores[metric])))
    by_case = oriented.pivot(index=["subject", "case"], columns="method", values="merit")
    present = [name for name in references if name in by_case]
    if not present:
        msg = (
            f"none of the reference methods {references} was scored, only {list(by_case.columns)}: "
            "run one of them or name one of these"
        )
        raise ValueError(msg)
    means = by_case[present].groupby("subject").mean().mean()
    if means.isna().all():
        return
    best = str(means.idxmax())
    for method in scores["method"].unique():
        if method != best:
            yield method, best, (by_case[method] - by_case[best]).dropna()


def _compared(gains: pd.Series, params: StatisticsParams) -> dict[str, Any]:
    subjects = gains.groupby("subject").mean().to_numpy()
    enough = len(subjects) >= LEAST_TESTED
    low, high = _interval(subjects, params) if enough else (np.nan, np.nan)
    return {
        "n": len(subjects),
        "difference": subjects.mean() if len(subjects) else np.nan,
        "ci_low": low,
        "ci_high": high,
        "p": _wilcoxon(subjects) if enough else np.nan,
        "harmed": (gains < 0).mean(),
    }


def _wilcoxon(gains: NDArray[np.float64]) -> float:
    """Two-sided p of paired gains; 1 where no gain differs from 0."""
    if not gains.any():
        return 1.0
    from scipy import stats

    return float(stats.wilcoxon(gains).pvalue)


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct p by Holm's method; a nan is no test and stays nan."""
    from statsmodels.stats.multitest import multipletests

    corrected = np.full_like(p, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        corrected[tested] = multipletests(p[tested], method="holm")[1]
    return corrected
