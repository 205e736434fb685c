"""The trust of a filled case against its true errors, voxel by voxel and slice by slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from slicefill.geometry import slices_first
from slicefill.metrics.risk import COVERAGES, risk_area, risk_at
from slicefill.metrics.scoring import Scored, body_mask
from slicefill.types import Array, Case


@dataclass(frozen=True, eq=False)
class TrustedErrors:
    """Synthetic voxels of the body whose error is known.

    Attributes:
        trust: `(n,)`, in [0, 1].
        error: Absolute error of what the window shows, share of its width, mean over channels.
        place: Index of the slice in the filled case.
    """

    trust: Array
    error: Array
    place: Array


def trusted_errors(
    filled: Case, truth: Case, scored: Scored, body_quantile: float
) -> TrustedErrors:
    """Pair the trust of a filled case with its errors.

    Args:
        filled: With its map `trust`; its record says which stored numbers the window shows.
        truth: The real case.
        scored: Which slices correspond.
        body_quantile: As in `EvaluationParams`; what is body in any channel counts.
    """
    real = _channels(truth, scored.axis)
    body = np.any([body_mask(each, scored.truth_index, body_quantile) for each in real], axis=0)
    pairs = zip(_channels(filled, scored.axis), real, _window(filled), strict=True)
    errors = [
        _shown(made[scored.filled_index][body], *window)
        - _shown(there[scored.truth_index][body], *window)
        for made, there, window in pairs
    ]
    trust = slices_first(filled.maps["trust"].intensities(), scored.axis)
    place = scored.filled_index[np.nonzero(body)[0]]
    return TrustedErrors(trust[scored.filled_index][body], np.abs(errors).mean(axis=0), place)


def trust_scores(known: TrustedErrors) -> dict[str, float]:
    """Score the trust of one case.

    Returns:
        `trust_rank`, Spearman's correlation of 1 - trust with the error (1 is best; nan where
        either is the same everywhere); `trust_bias`, how far mean trust is above 1 - mean error
        (0 is best, positive: trusted too much); `risk_area`, mean risk over all coverages.
        All nan where no voxel is body.
    """
    if not known.error.size:
        return dict.fromkeys(("trust_rank", "trust_bias", "risk_area"), np.nan)
    flat = np.ptp(known.trust) == 0 or np.ptp(known.error) == 0
    rank = np.nan if flat else stats.spearmanr(1 - known.trust, known.error).statistic
    due = 1 - known.error.mean(dtype=np.float64)
    return {
        "trust_rank": float(rank),
        "trust_bias": float(known.trust.mean(dtype=np.float64) - due),
        "risk_area": risk_area(risk_at(COVERAGES, known.trust, known.error)),
    }


def slice_trust(record: Mapping[str, Any], known: TrustedErrors | None) -> pd.DataFrame:
    """List the synthetic slices of a filled case.

    Args:
        record: Of the filled case.
        known: Its true errors, where slices were removed.

    Returns:
        A row per synthetic slice: `slice` (index in the filled case), `measure`, `trust` and
        `abstained` as in the record (nan where it has none), `error`: mean absolute error in the
        body, share of the window, nan where it is not known.

    Example:
        >>> slices = [{"index": 0, "acquired": 0}, {"index": 1, "trust": 0.75}]
        >>> known = TrustedErrors(np.ones(2), np.array([0.1, 0.3]), np.array([1, 1]))
        >>> slice_trust({"trust": "agreement", "slices": slices}, known).values.tolist()
        [[1, 'agreement', 0.75, nan, 0.2]]
    """
    synthetic = [one for one in record["slices"] if "acquired" not in one]
    table = pd.DataFrame(
        {
            "slice": [one["index"] for one in synthetic],
            "measure": record.get("trust"),
            "trust": pd.Series([one.get("trust") for one in synthetic], dtype=float),
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


def _window(filled: Case) -> Array:
    """Intensities that are shown as 0 and 1, per channel, `(C, 2)`."""
    slope, intercept = filled.image.slope_intercept
    return np.asarray(filled.record["window_stored"]) * slope + intercept


def _shown(intensities: Array, low: float, high: float) -> Array:
    return np.clip((intensities - low) / (high - low), 0, 1)
