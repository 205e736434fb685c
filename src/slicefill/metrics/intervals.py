"""Intervals and p of means: over subjects, or over subjects and trainings.

Another seed gives another network, whose scores differ on the same subjects. What holds of a method
must hold for other subjects and for other trainings: the crossed bootstrap resamples both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicefill.params import StatisticsParams

SUBJECTS = "subjects"
SUBJECTS_AND_TRAININGS = "subjects and trainings"
"""What an interval contains the noise of."""
LEAST_RESAMPLED = 6
"""Fewest subjects whose mean gets a bootstrap interval: of fewer it would be far too narrow."""
Runs = NDArray[np.float64]
"""Scores of trainings on subjects, `(trainings, subjects)`; nan where there is none."""


@dataclass(frozen=True)
class Estimate:
    """A mean over subjects and trainings, or the difference of two.

    Attributes:
        value: The mean.
        low: Lower end of its interval.
        high: Upper end.
        p: Two-sided, of its being 0.
    """

    value: float
    low: float
    high: float
    p: float


def estimate_crossed(runs: Sequence[Runs], params: StatisticsParams) -> Estimate:
    """Estimate the mean of a method, or the mean difference of two.

    Subjects are drawn for all tables alike (they are paired), trainings of each table apart: no
    training of one method belongs to one of the other. Of methods that share their networks, give
    one table of differences. Of n subjects or trainings n - 1 are drawn with
    replacement, so that the variance of a mean is not too small for small n (Rao and Wu, 1988).
    The standard error of the replicates is taken with Student's t, whose degrees of freedom follow
    from the parts of the variance (Satterthwaite): with two or three trainings the percentiles of
    replicates are far too narrow.

    Args:
        runs: One table, or two of the same subjects: the first minus the second. At least two
            trainings and two subjects each.
        params: Confidence level, bootstrap samples, seed.

    Returns:
        The estimate; without any spread the interval is the value.

    Raises:
        ValueError: If a table has fewer than two trainings or subjects.
    """
    if any(min(table.shape) < 2 for table in runs):
        shapes = ", ".join(str(table.shape) for table in runs)
        msg = f"expected two trainings and two subjects or more in each table, got {shapes}"
        raise ValueError(msg)
    gains = _difference([np.nanmean(table, axis=0) for table in runs])
    value, error = float(np.nanmean(gains)), float(_replicates(runs, params).std(ddof=1))
    if error <= 1e-12 * max(1.0, abs(value)):
        return Estimate(value, value, value, float(abs(value) <= 1e-12))
    from scipy import stats

    student = stats.t(_degrees_of_freedom(runs, gains))
    reach = student.ppf(0.5 + params.confidence_level / 2) * error
    p = 2 * student.sf(abs(value) / error)
    return Estimate(value, value - reach, value + reach, float(p))


def _replicates(runs: Sequence[Runs], params: StatisticsParams) -> NDArray[np.float64]:
    """Means of resampled trainings on resampled subjects, `(bootstrap_samples,)`."""
    rng = np.random.default_rng(params.seed)
    drawn_subjects = _draw(runs[0].shape[1], params.bootstrap_samples, rng)
    gains = _difference(
        [_means(_draw(len(table), params.bootstrap_samples, rng), table) for table in runs]
    )
    weights = drawn_subjects * np.isfinite(gains)
    counted = weights.sum(axis=1)
    weighed = (weights * np.nan_to_num(gains)).sum(axis=1)
    means: NDArray[np.float64] = weighed[counted > 0] / counted[counted > 0]
    return means


def _draw(count: int, samples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each of n is drawn in n - 1 draws with replacement, `(samples, n)`."""
    return rng.multinomial(count - 1, np.full(count, 1 / count), size=samples)


def _means(drawn: NDArray[np.int64], table: Runs) -> NDArray[np.float64]:
    """Mean over the trainings drawn, `(samples, subjects)`; nan where none has a score."""
    counted = (drawn @ np.isfinite(table)).astype(float)
    counted[counted == 0] = np.nan
    means: NDArray[np.float64] = (drawn @ np.nan_to_num(table)) / counted
    return means


def _difference(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return parts[0] if len(parts) == 1 else parts[0] - parts[1]


def _degrees_of_freedom(runs: Sequence[Runs], gains: NDArray[np.float64]) -> float:
    """Combine those of subjects and of the trainings of each table, by their variances."""
    parts = [gains[np.isfinite(gains)], *(np.nanmean(table, axis=1) for table in runs)]
    variances = np.array([part.var(ddof=1) / len(part) for part in parts])
    counts = np.array([len(part) - 1 for part in parts])
    return float(variances.sum() ** 2 / (variances**2 / counts).sum())


def interval_over_subjects(
    values: NDArray[np.float64], params: StatisticsParams
) -> tuple[float, float]:
    """Confidence interval of a mean over subjects: bootstrap, bias-corrected and accelerated.

    For fewer than `LEAST_RESAMPLED` it is that of Student's t; nan for fewer than two.
    """
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:  # BCa is undefined where resampling changes nothing
        return float(values[0]), float(values[0])
    from scipy import stats

    if len(values) < LEAST_RESAMPLED:
        student = stats.ttest_1samp(values, 0).confidence_interval(params.confidence_level)
        return float(student.low), float(student.high)
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=params.bootstrap_samples,
        confidence_level=params.confidence_level,
        rng=params.seed,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def signed_rank_p(gains: NDArray[np.float64]) -> float:
    """Two-sided p of paired gains by Wilcoxon's test; 1 where no gain differs from 0."""
    if not gains.any():
        return 1.0
    from scipy import stats

    return float(stats.wilcoxon(gains).pvalue)


def correct_by_holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct p by Holm's method; a nan is no test and stays nan."""
    from statsmodels.stats.multitest import multipletests

    corrected = np.full_like(p, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        corrected[tested] = multipletests(p[tested], method="holm")[1]
    return corrected
