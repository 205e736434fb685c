"""Lesions found against false positives per scan, over thresholds of the probability (FROC)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pydantic import Field

from slicefill.audits import judged
from slicefill.geometry import slices_first
from slicefill.metrics.lesions import froc, froc_score
from slicefill.params.base import Count, Positive
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array, Case, Lazy, Prediction

COLUMNS = [
    "network",
    "label",
    "scans",
    "threshold",
    "lesion_sensitivity",
    "lesion_false_positives",
    "froc_score",
]
_LABELS = 0.5
"""Threshold of labels without probabilities: they are 0 or 1."""


class Params(BaseParams):
    """Where the curve is measured."""

    thresholds: Count = Field(19, description="of the probability, evenly spaced within (0, 1)")
    rates: list[Positive] = Field(
        [0.125, 0.25, 0.5, 1, 2, 4, 8],
        min_length=1,
        description="false positives per scan that the score averages the sensitivity over",
    )


def audit(
    cases: Mapping[str, Lazy[Case]],
    predictions: Mapping[str, Mapping[str, Lazy[Prediction]]],
    params: Params,
) -> pd.DataFrame:
    """Trace the curve of every network and label on acquired slices (`AuditFile`).

    Where class probabilities are not kept (`segmentation.inference.softmax`) there is one point,
    that of the labels.

    Returns:
        A row per point: `network`, `label` (id), `scans`, `threshold`, `lesion_sensitivity`,
        `lesion_false_positives` (per scan) and `froc_score` of the whole curve.
    """
    rows = []
    for network, of_cases in predictions.items():
        known = [(found, truth) for _, found, truth in judged(network, of_cases, cases)]
        for identity in sorted({i for found, _ in known for i in _ids(found)} - {0}):
            rows += _curve(network, identity, known, params)
    return pd.DataFrame(rows, columns=COLUMNS)


def _curve(
    network: str, identity: int, known: Sequence[tuple[Prediction, Array]], params: Params
) -> list[tuple[str, int, int, float, float, float, float]]:
    scans = [(_probability(found, identity), truth == identity) for found, truth in known]
    whole = any(found.softmax is None for found, _ in known)
    steps = np.arange(1, params.thresholds + 1) / (params.thresholds + 1)
    points = froc(scans, [_LABELS] if whole else steps.tolist())
    score = froc_score(points, params.rates)
    return [(network, identity, len(scans), *point, score) for point in points]


def _probability(found: Prediction, identity: int) -> Array:
    """Probability of a label on acquired slices, `(D, H, W)`; without one, 1 where it is."""
    axis, (_, rows, columns) = found.record["axis"], found.record["finer"]
    if found.softmax is None:
        stored = (found.label.stored == identity).astype(np.float32)
    else:
        stored = found.softmax.stored[..., _ids(found).index(identity)]
    kept = slices_first(stored, axis)[found.record["acquired"]]
    return np.asarray(kept[:, ::rows, ::columns])


def _ids(found: Prediction) -> list[int]:
    return sorted(map(int, found.record["label_names"]))
