"""Realism: do synthetic slices look like real ones, in the acquired plane and in reformatted ones?

Tronchin et al. (2021), with one reference encoder for all methods, few features, and the same
computation of real slices beside it. All of it is on request and compares a whole set.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from slicefill.metrics import DescribedSet, Metric
from slicefill.metrics.realism.copies import nearest_correlation, nearest_similarity
from slicefill.metrics.realism.distances import balanced_accuracy, frechet, mahalanobis, mmd
from slicefill.metrics.realism.encoder import encode, fit_encoder
from slicefill.metrics.realism.windows import (
    PLANES,
    Windows,
    describe_windows,
    gather,
    gather_training,
    real_in_place,
)
from slicefill.types import Array

_UNUSUAL = 0.99
_NAN = float("nan")
Measure = Callable[[DescribedSet, str], float]
Told = tuple[str, Measure, str, Literal["lower", "nearer"], float]
"""Name, measure, label, which is better, ideal."""


def c2st(described: DescribedSet, plane: str) -> float:
    """Balanced accuracy of telling synthetic from real windows, of subjects not seen; best 0.5."""
    made, real, _ = gather(described, plane)
    if min(len(made), len(real)) < 2:
        return _NAN
    return balanced_accuracy(encode(made), encode(real), made.subjects, real.subjects)


def encoded_distance(described: DescribedSet, plane: str, distance: Callable[..., float]) -> float:
    """Distance of synthetic from real windows among at most 16 features."""
    made, real, seen = gather(described, plane)
    fitted_on = seen if len(seen) > 1 else real
    if min(len(made), len(real)) < 2:
        return _NAN
    encoder = fit_encoder(fitted_on)
    return distance(encoder(made), encoder(real))


def similarity(described: DescribedSet, plane: str, of: str) -> float:
    """Mean of the greatest MS-SSIM with another subject: S_S, S_R or R_R (`of`)."""
    return _mean(_maxima(described, plane, of))


def unusual_share(described: DescribedSet, plane: str, of: str) -> float:
    """Share of synthetic windows whose greatest MS-SSIM exceeds that of 99 % of the real ones.

    S_S: collapse, the same slice for several subjects; the real ones among each other. S_R:
    memorisation, a copied slice; the real ones with the same slices of training, as a maximum
    grows with their number.
    """
    expected = {"S_S": "R_R", "S_R": "R_T"}[of]
    baseline, found = _maxima(described, plane, expected), _maxima(described, plane, of)
    if not np.isfinite(baseline).any() or not np.isfinite(found).any():
        return _NAN
    limit = np.nanquantile(baseline, _UNUSUAL)
    return float((found[np.isfinite(found)] > limit).mean())


def correlation(described: DescribedSet, plane: str) -> float:
    """Mean of the greatest normalised cross-correlation with real slices of other subjects."""
    made, real, seen = gather(described, plane)
    return _mean(nearest_correlation(made, _known(real, seen)))


def _maxima(described: DescribedSet, plane: str, of: str) -> Array:
    """Greatest MS-SSIM of each window: as `similarity`, or of real with training ones (R_T)."""
    made, real, _ = gather(described, plane)
    own = made if of.startswith("S") else real
    if of in ("S_S", "R_R"):
        return nearest_similarity(own, own)
    return nearest_similarity(own, _known(real, gather_training(described, plane)))


def _known(real: Windows, seen: Windows) -> Windows:
    """Real windows that a method may have copied."""
    return seen if len(seen) else real


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else _NAN


def _metric(plane: str, told: Told) -> Metric:
    name, measure, label, better, ideal = told
    return Metric(
        f"{name}_{plane}",
        lambda described: measure(described, plane),
        label=f"{label}, {plane.replace('_', ' ')}",
        of=("images",),
        better=better,
        ideal=ideal,
        regions=("",),
        per="set",
        describe=describe_windows,
        by_subject=True,
        control=real_in_place,
        on_request=True,
    )


def _distance(distance: Callable[..., float]) -> Measure:
    return lambda described, plane: encoded_distance(described, plane, distance)


def _of(measure: Callable[[DescribedSet, str, str], float], of: str) -> Measure:
    return lambda described, plane: measure(described, plane, of)


_OF_BOTH: tuple[Told, ...] = (
    ("c2st", c2st, "C2ST accuracy", "nearer", 0.5),
    ("mahalanobis", _distance(mahalanobis), "Mahalanobis²", "lower", 0),
    ("collapse", _of(unusual_share, "S_S"), "collapse", "lower", 0),
    ("memorisation", _of(unusual_share, "S_R"), "memorisation", "lower", 0),
    ("similarity_s_s", _of(similarity, "S_S"), "S_S", "lower", 0),
    ("similarity_s_r", _of(similarity, "S_R"), "S_R", "lower", 0),
    ("similarity_r_r", _of(similarity, "R_R"), "R_R", "lower", 0),
    ("correlation", correlation, "cross-correlation", "lower", 0),
)
_OF_EACH: tuple[Told, ...] = (
    ("frechet", _distance(frechet), "Fréchet²", "lower", 0),
    ("mmd", _distance(mmd), "MMD²", "lower", 0),
)
METRICS = (
    *(_metric(plane, told) for plane in ("in_plane", "reformatted") for told in _OF_BOTH),
    *(_metric(plane, told) for plane in PLANES for told in _OF_EACH),
)
