"""Confidence of synthetic voxels against their true error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first
from slicefill.metrics import Metric, list_metrics
from slicefill.metrics.risk import COVERAGES, aurc, risk_at
from slicefill.metrics.scoring import Correspondence
from slicefill.types import Array, Case

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ConfidenceErrors:
    """Synthetic voxels of the body whose error is known.

    Attributes:
        confidence: `(n,)`, in [0, 1].
        error: Absolute error of what the window shows, fraction of its width, mean over channels.
        place: Index of the slice in the imputed case.
    """

    confidence: Array
    error: Array
    place: Array


def confidence_errors(
    imputed: Case, truth: Case, slices: Correspondence, body: NDArray[np.bool_]
) -> ConfidenceErrors:
    """Pair the confidence of an imputed case with its errors.

    Args:
        imputed: With its map `confidence`; its record says which intensities the window shows.
        truth: The real case.
        slices: Which slices correspond.
        body: Where synthetic slices show it, `(n, H, W)`.
    """
    found, there = slices.imputed[slices.synthetic], slices.truth[slices.synthetic]
    real = _channels(truth, slices.axis)
    pairs = zip(_channels(imputed, slices.axis), real, _window(imputed), strict=True)
    errors = [
        _shown(made[found][body], *window) - _shown(true[there][body], *window)
        for made, true, window in pairs
    ]
    confidence = slices_first(imputed.maps["confidence"].intensities(), slices.axis)
    place = found[np.nonzero(body)[0]]
    return ConfidenceErrors(confidence[found][body], np.abs(errors).mean(axis=0), place)


def confidence_scores(known: ConfidenceErrors) -> dict[str, float]:
    """Score the confidence of one case by the metrics of confidence; nan where there is no body."""
    return {
        metric.name: metric.measure(known) if known.error.size else np.nan
        for metric in list_metrics("confidence")
    }


def confidence_rank(known: ConfidenceErrors) -> float:
    """Spearman's correlation of 1 - confidence with the error, in [-1, 1]; 1 is best.

    nan where either is the same everywhere.
    """
    from scipy import stats

    flat = np.ptp(known.confidence) == 0 or np.ptp(known.error) == 0
    return np.nan if flat else float(stats.spearmanr(1 - known.confidence, known.error).statistic)


def confidence_bias(known: ConfidenceErrors) -> float:
    """How far mean confidence is above 1 - mean error; 0 is best, positive is overconfident.

    Example:
        >>> confidence_bias(ConfidenceErrors(np.ones(2), np.array([0.1, 0.4]), np.zeros(2)))
        0.25
    """
    due = 1 - known.error.mean(dtype=np.float64)
    return float(known.confidence.mean(dtype=np.float64) - due)


def confidence_gain(known: ConfidenceErrors) -> float:
    """What dropping the least confident voxels gains, as a share of what the best order gains.

    The gain is of the area under the risk-coverage curve on that of no order; 1 is best, 0 is what
    chance gives. nan where all errors are the same.

    Example:
        The larger of two errors is dropped first, or last:

        >>> both = np.array([0.1, 0.4])
        >>> orders = [ConfidenceErrors(1 - each, both, np.zeros(2)) for each in (both, -both)]
        >>> [round(float(confidence_gain(each)), 6) for each in orders]
        [1.0, -1.0]
    """
    error = known.error.astype(np.float64)
    chance = error.mean()
    own, best = (aurc(risk_at(COVERAGES, order, error)) for order in (known.confidence, -error))
    return (chance - own) / (chance - best) if best < chance else np.nan


def slice_confidence(record: Mapping[str, Any], known: ConfidenceErrors | None) -> "pd.DataFrame":
    """List the synthetic slices of an imputed case.

    Args:
        record: Of the imputed case.
        known: Its true errors, where slices were removed.

    Returns:
        A row per synthetic slice: `slice` (index in the imputed case), `measure`, `confidence` and
        `abstained` as in the record (nan where it has none), `error`: mean absolute error in the
        body, fraction of the window, nan where it is not known.

    Example:
        >>> slices = [{"index": 0, "acquired": 0}, {"index": 1, "confidence": 0.75}]
        >>> known = ConfidenceErrors(np.ones(2), np.array([0.1, 0.3]), np.array([1, 1]))
        >>> slice_confidence({"confidence": "agreement", "slices": slices}, known).values.tolist()
        [[1, 'agreement', 0.75, nan, 0.2]]
    """
    import pandas as pd

    synthetic = [one for one in record["slices"] if "acquired" not in one]
    table = pd.DataFrame(
        {
            "slice": [one["index"] for one in synthetic],
            "measure": record.get("confidence"),
            "confidence": pd.Series([one.get("confidence") for one in synthetic], dtype=float),
            "abstained": pd.Series([one.get("abstained") for one in synthetic], dtype=float),
            "error": np.nan,
        }
    )
    if known is not None:
        table["error"] = table["slice"].map(pd.Series(known.error).groupby(known.place).mean())
    return table


def _channels(case: Case, axis: int) -> Array:
    """Intensities, channels and slices in front, `(C, D, H, W)`."""
    slices = slices_first(case.image.intensities(), axis)
    return np.moveaxis(slices.reshape(*slices.shape[:3], -1), 3, 0)


def _window(imputed: Case) -> Array:
    """Intensities that are shown as 0 and 1, per channel, `(C, 2)`."""
    return np.asarray(imputed.record["window_shown"])


def _shown(intensities: Array, low: float, high: float) -> Array:
    return np.clip((intensities - low) / (high - low), 0, 1)


METRICS = (  # confidence means different things in different methods: these are not compared
    Metric(
        "confidence_rank",
        confidence_rank,
        label="confidence rank correlation",
        of=("confidence",),
        better="higher",
        ideal=1,
        tested=False,
    ),
    Metric(
        "confidence_bias",
        confidence_bias,
        label="confidence bias",
        unit="fraction of window",
        of=("confidence",),
        better="nearer",
        ideal=0,
        tested=False,
    ),
    Metric(
        "confidence_gain",
        confidence_gain,
        label="share of the best order's gain",
        of=("confidence",),
        better="higher",
        ideal=1,
        tested=False,
    ),
    Metric(
        "aurc",
        lambda known: aurc(risk_at(COVERAGES, known.confidence, known.error)),
        label="area under the risk-coverage curve",
        unit="fraction of window",
        of=("confidence",),
        better="lower",
        ideal=0,
        tested=False,
    ),
)
