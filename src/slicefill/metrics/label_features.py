"""Shapes of labels as a set: discrepancy of volume, surface, elongation, place and contact.

After the scores of Li et al. (2021) for made graphs: features that a reader names, real against
imputed. Real labels are those of every other subject, imputed ones those of the others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import DescribedSet, Metric
from slicefill.metrics.overlap import MaskPair
from slicefill.metrics.realism.distances import mmd
from slicefill.types import Array

_MADE, _REAL = range(2)
_ABSENT = -4.0
"""What every feature of an absent label counts as, in standard deviations: far from any shape."""


def describe_labels(labels: Mapping[str, MaskPair]) -> NDArray[np.float64]:
    """Measure the shape of every label of a case, `(2, labels, 7)`: synthetic and real.

    Logarithms of volume (mm³) and surface (mm²), elongation (longest over shortest principal
    standard deviation), centroid relative to that of all labels (mm, 3), and the share of the
    surface that touches another label. nan where a label is absent.
    """
    masks = (
        [pair.prediction for pair in labels.values()],
        [pair.truth for pair in labels.values()],
    )
    spacing = next(iter(labels.values())).spacing
    return np.stack([_features(own, spacing) for own in masks])


def label_mmd(described: DescribedSet) -> float:
    """Unbiased MMD² of the features, in standard deviations of real ones; 0: the same shapes.

    A label that is absent counts as far from all that are there, so that a lost one shows. nan
    with fewer than four subjects that have labels.
    """
    subjects = [own for own in described.cases.values() if own]
    if len(subjects) < 4:
        return float("nan")
    made, real = (_vectors(subjects, kind) for kind in (_MADE, _REAL))
    everything = _vectors(subjects, _REAL, every=True)
    mean, scale = np.nanmean(everything, axis=0), np.nanstd(everything, axis=0) + 1e-9
    one, other = (np.nan_to_num((each - mean) / scale, nan=_ABSENT) for each in (made, real))
    return mmd(one, other)


def _vectors(
    subjects: Sequence[Sequence[Array]], kind: int, *, every: bool = False
) -> NDArray[np.float64]:
    """A row per case: of subjects in even places what was made, of the others what is real."""
    rows = [
        one[kind].ravel()
        for place, own in enumerate(subjects)
        for one in own
        if every or place % 2 == kind
    ]
    return np.array(rows, np.float64)


def _real_in_place(described: DescribedSet) -> DescribedSet:
    swapped = {who: [one[[_REAL, _REAL]] for one in own] for who, own in described.cases.items()}
    return DescribedSet(swapped, described.training)


def _features(masks: list[NDArray[np.bool_]], spacing: Array) -> NDArray[np.float64]:
    union = np.any(masks, axis=0)
    middle = np.argwhere(union).mean(axis=0) * spacing if union.any() else np.zeros(3)
    rows = [_shape(mask, union & ~mask, spacing, middle) for mask in masks]
    return np.array(rows, np.float64)


def _shape(mask: Array, others: Array, spacing: Array, middle: Array) -> list[float]:
    if mask.sum() < 2:
        return [float("nan")] * 7
    places = np.argwhere(mask) * spacing
    spread = np.sqrt(np.clip(np.linalg.eigvalsh(np.cov(places, rowvar=False)), 0, None))
    elongation = spread[-1] / max(spread[0], 0.5 * float(spacing.min()))
    surface, shared = _areas(mask, others, spacing)
    volume = float(mask.sum() * np.prod(spacing))
    centroid = (places.mean(axis=0) - middle).tolist()
    return [np.log(volume), np.log(surface), elongation, *centroid, shared / surface]


def _areas(mask: Array, others: Array, spacing: Array) -> tuple[float, float]:
    """Area of the faces of a mask, mm², and of those of them beyond which another label lies."""
    area = shared = 0.0
    bounded, beyond = np.pad(mask, 1), np.pad(others, 1)
    for axis in range(3):
        face = float(np.prod(np.delete(spacing, axis)))
        for step in (1, -1):
            area += face * int((bounded & ~np.roll(bounded, step, axis)).sum())
            shared += face * int((bounded & np.roll(beyond, step, axis)).sum())
    return area, shared


METRICS = (
    Metric(
        "label_mmd",
        label_mmd,
        label="MMD² of label shapes",
        of=("labels",),
        better="lower",
        ideal=0,
        per="set",
        describe=describe_labels,
        by_subject=True,
        control=_real_in_place,
        on_request=True,
    ),
)
