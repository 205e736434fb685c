"""From scores per case to what may be said of the methods; the person is the unit.

Scores come with the columns `case`, `person`, `method` and one column per metric. A value
that is nan or infinite is a case that could not be measured: left out and counted.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from slicefill.params import EvaluationParams

HIGHER_IS_BETTER = ("psnr", "ssim", "dice", "nsd")
"""Metrics, by the start of their name, of which more is better."""

IDEAL = {
    "mae": 0,
    "bias": 0,
    "volume_bias": 0,
    "ravd": 0,
    "assd": 0,
    "mssd": 0,
    "hd95": 0,
    "gradient_ratio": 1,
    "alternation": 1,
}
"""All other metrics, by the start of their name, and the value that is best."""

_NOT_METRICS = ("case", "person", "method", "slices")


def merit(metric: str, values: pd.Series) -> pd.Series:
    """Turn a metric into one of which more is better: itself, or minus its distance to the best.

    Example:
        >>> merit("gradient_ratio", pd.Series([0.75, 1.5])).tolist()
        [-0.25, -0.5]
    """
    if _named(metric, HIGHER_IS_BETTER):
        return values
    for name, ideal in IDEAL.items():
        if _named(metric, (name,)):
            return -(values - ideal).abs()
    msg = f"no direction is known for metric {metric!r}: add it to HIGHER_IS_BETTER or IDEAL"
    raise ValueError(msg)


def summarise(scores: pd.DataFrame, params: EvaluationParams) -> pd.DataFrame:
    """Mean, spread and bootstrap interval of every metric of every method.

    A person's cases are averaged first.

    Args:
        scores: One row per case and method.
        params: Confidence, bootstrap samples, seed.

    Returns:
        Columns `method`, `metric`, `n` (persons), `dropped` (cases without a value), `mean`,
        `sd` (over persons), `ci_low`, `ci_high` (of the mean, BCa; nan for fewer than two
        persons).
    """
    rows = []
    for method, own in scores.groupby("method", sort=False):
        for metric in _metrics(scores):
            measured = _finite(own[metric])
            persons = measured.groupby(own["person"]).mean().dropna().to_numpy()
            low, high = _interval(persons, params)
            rows.append(
                {
                    "method": method,
                    "metric": metric,
                    "n": len(persons),
                    "dropped": int(measured.isna().sum()),
                    "mean": persons.mean() if len(persons) else np.nan,
                    "sd": persons.std(ddof=1) if len(persons) > 1 else np.nan,
                    "ci_low": low,
                    "ci_high": high,
                }
            )
    return pd.DataFrame(rows)


def compare(scores: pd.DataFrame, params: EvaluationParams) -> pd.DataFrame:
    """Test every method against the best reference method, metric by metric.

    Metrics are turned so that more is better (`merit`), case by case; the reference is the one
    of `params.reference_methods` with the best mean over persons. Both sides are paired by
    case, averaged by person and tested by Wilcoxon's signed-rank test, two-sided; p is
    corrected by Holm over all rows of the table. The `..._all_slices` values are not compared.

    Args:
        scores: One row per case and method.
        params: Reference methods, confidence, bootstrap samples, seed.

    Returns:
        Columns `metric`, `method`, `reference`, `n` (persons), `difference` (mean gain of the
        method, positive is better, in the unit of the metric), `ci_low`, `ci_high`, `p`,
        `p_holm`, `harmed` (share of cases in which the method is worse than the reference).
    """
    rows = [
        _compared(gains, params) | {"metric": metric, "method": method, "reference": reference}
        for metric in _metrics(scores)
        if not metric.endswith("_all_slices")
        for method, reference, gains in _paired(scores, metric, params.reference_methods)
    ]
    columns = ["metric", "method", "reference", "n", "difference", "ci_low", "ci_high", "p"]
    comparison = pd.DataFrame(rows, columns=[*columns, "harmed"])
    comparison.insert(len(columns), "p_holm", _holm(comparison["p"].to_numpy(dtype=float)))
    return comparison


def _metrics(scores: pd.DataFrame) -> list[str]:
    return [name for name in scores.columns if name not in _NOT_METRICS]


def _named(metric: str, names: tuple[str, ...]) -> bool:
    return any(metric == name or metric.startswith(f"{name}_") for name in names)


def _finite(values: pd.Series) -> pd.Series:
    return values.astype(float).replace([np.inf, -np.inf], np.nan)


def _interval(values: NDArray[np.float64], params: EvaluationParams) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean (bias-corrected and accelerated)."""
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:  # BCa is undefined where resampling changes nothing
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=params.bootstrap_samples,
        confidence_level=params.confidence,
        rng=params.seed,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _paired(
    scores: pd.DataFrame, metric: str, references: list[str]
) -> Iterator[tuple[str, str, pd.Series]]:
    """Yield method, reference and the gain per case, indexed by person and case."""
    oriented = scores.assign(merit=merit(metric, _finite(scores[metric])))
    by_case = oriented.pivot(index=["person", "case"], columns="method", values="merit")
    present = [name for name in references if name in by_case]
    if not present:
        msg = (
            f"none of evaluation.reference_methods {references} was scored, only "
            f"{list(by_case.columns)}: add one to imputation.methods"
        )
        raise ValueError(msg)
    means = by_case[present].groupby("person").mean().mean()
    if means.isna().all():
        return
    best = str(means.idxmax())
    for method in scores["method"].unique():
        if method != best:
            yield method, best, (by_case[method] - by_case[best]).dropna()


def _compared(gains: pd.Series, params: EvaluationParams) -> dict[str, Any]:
    persons = gains.groupby("person").mean().to_numpy()
    low, high = _interval(persons, params)
    return {
        "n": len(persons),
        "difference": persons.mean() if len(persons) else np.nan,
        "ci_low": low,
        "ci_high": high,
        "p": _wilcoxon(persons),
        "harmed": (gains < 0).mean(),
    }


def _wilcoxon(gains: NDArray[np.float64]) -> float:
    """Two-sided p of paired gains; 1 where no gain differs from 0, nan where there is none."""
    if not gains.any():
        return 1.0 if len(gains) else np.nan
    return float(stats.wilcoxon(gains).pvalue)


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct p by Holm's method; a nan is no test and stays nan."""
    from statsmodels.stats.multitest import multipletests

    corrected = np.full_like(p, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        corrected[tested] = multipletests(p[tested], method="holm")[1]
    return corrected
