"""From scores per case to what may be said of the methods; the subject is the unit.

Scores come with the columns `case`, `subject`, `method` and one column per metric; where each
case was scored with several trained networks, also `seed` (`engine` and `prediction` may say more
of them). A value that is nan or infinite could
not be measured: left out and counted.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from slicefill.params import StatisticsParams

HIGHER_IS_BETTER = ("psnr", "ssim", "dice", "nsd", "confidence_rank")
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
    "confidence_bias": 0,
    "aurc": 0,
}
"""All other metrics, by the start of their name, and the value that is best."""

_KEYS = ["case", "subject", "method"]
_RUN = ["seed", "engine", "prediction"]  # which training a row comes from
_UNTESTED = ("confidence_rank", "confidence_bias", "aurc")  # what they are of differs by method
_COUNTS = ("slices", "both_empty", "prediction_empty", "truth_empty", "ml")  # also with a suffix


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
    """Tell how far training anew moves the mean of each method.

    Args:
        scores: One row per case, method and seed.

    Returns:
        Columns `method`, `metric`, `sd` (over seeds, of the mean over subjects; nan for one seed).
    """
    metrics = _metrics(scores)
    finite = scores.replace([np.inf, -np.inf], np.nan)
    subjects = finite.groupby(["method", "seed", "subject"], sort=False)[metrics].mean()
    means = subjects.groupby(["method", "seed"], sort=False).mean()
    spread = means.groupby("method", sort=False).std().reset_index()
    return spread.melt("method", var_name="metric", value_name="sd")


def summarise(scores: pd.DataFrame, params: StatisticsParams) -> pd.DataFrame:
    """Mean, spread and bootstrap interval of every metric of every method.

    A case's seeds are averaged first, then a subject's cases.

    Args:
        scores: One row per case and method, and seed if there are several.
        params: Confidence, bootstrap samples, seed.

    Returns:
        Columns `method`, `metric`, `n` (subjects), `dropped` (rows without a value), `mean`,
        `sd` (over subjects), `ci_low`, `ci_high` (of the mean, BCa; nan for fewer than two
        subjects).
    """
    rows = []
    for method, own in scores.groupby("method", sort=False):
        cases = average_seeds(own)
        for metric in _metrics(scores):
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


def compare(scores: pd.DataFrame, references: list[str], params: StatisticsParams) -> pd.DataFrame:
    """Test every method against the best reference method, metric by metric.

    Metrics are turned so that more is better (`merit`), case by case; the reference is the one
    of `references` with the best mean over subjects. Both sides are paired by
    case, averaged by subject and tested by Wilcoxon's signed-rank test, two-sided; p is
    corrected by Holm over all rows of the table. The `..._all_slices` values and those of
    confidence are not compared, nor is a signed RAVD where its magnitude is: one test for both.

    Args:
        scores: One row per case and method, and seed if there are several: averaged first.
        references: The methods of which the best is the reference.
        params: Confidence, bootstrap samples, seed.

    Returns:
        Columns `metric`, `method`, `reference`, `n` (subjects), `difference` (mean gain of the
        method, positive is better, in the unit of the metric), `ci_low`, `ci_high`, `p`,
        `p_holm`, `harmed` (share of cases in which the method is worse than the reference).
    """
    scores = average_seeds(scores)
    rows = [
        _compared(gains, params) | {"metric": metric, "method": method, "reference": reference}
        for metric in _tested(_metrics(scores))
        for method, reference, gains in _paired(scores, metric, references)
    ]
    columns = ["metric", "method", "reference", "n", "difference", "ci_low", "ci_high", "p"]
    comparison = pd.DataFrame(rows, columns=[*columns, "harmed"])
    comparison.insert(len(columns), "p_holm", _holm(comparison["p"].to_numpy(dtype=float)))
    return comparison


def _metrics(scores: pd.DataFrame) -> list[str]:
    own = scores.columns.drop([*_KEYS, *_RUN], errors="ignore")
    return [name for name in own if not _named(name, _COUNTS)]


def _tested(metrics: list[str]) -> list[str]:
    signed = {name.replace("ravd_abs", "ravd") for name in metrics if _named(name, ("ravd_abs",))}
    left_out = {*signed, *_UNTESTED}
    return [name for name in metrics if not name.endswith("_all_slices") and name not in left_out]


def _named(metric: str, names: tuple[str, ...]) -> bool:
    return any(metric == name or metric.startswith(f"{name}_") for name in names)


def _finite(values: pd.Series) -> pd.Series:
    return values.astype(float).replace([np.inf, -np.inf], np.nan)


def _interval(values: NDArray[np.float64], params: StatisticsParams) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean (bias-corrected and accelerated)."""
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:  # BCa is undefined where resampling changes nothing
        return float(values[0]), float(values[0])
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
    low, high = _interval(subjects, params)
    return {
        "n": len(subjects),
        "difference": subjects.mean() if len(subjects) else np.nan,
        "ci_low": low,
        "ci_high": high,
        "p": _wilcoxon(subjects),
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
