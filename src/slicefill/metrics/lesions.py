"""Lesion by lesion: how many are found, and how many findings are none.

A lesion is a component whose voxels share a face, an edge or a corner. It is found if the centre of
gravity of a predicted component lies in it; a predicted component whose centre lies in none is a
false positive (Assis et al., 2021).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import Metric
from slicefill.metrics.overlap import MaskPair
from slicefill.types import Array


class Lesions(NamedTuple):
    """Counts of one label in one scan."""

    found: int
    true: int
    false_positives: int

    @property
    def sensitivity(self) -> float:
        """Share of true lesions that are found, in [0, 1]; nan without one."""
        return self.found / self.true if self.true else float("nan")


def count_lesions(prediction: Array, truth: Array) -> Lesions:
    """Count true lesions, those that are found, and false positives.

    Args:
        prediction: Bool, three axes.
        truth: Bool, same shape.

    Example:
        Two lesions, one found, and one finding beside them:

        >>> truth = np.array([[[1, 1, 0, 0, 1, 0, 0]]], bool)
        >>> count_lesions(np.array([[[1, 0, 0, 0, 0, 0, 1]]], bool), truth)
        Lesions(found=1, true=2, false_positives=1)
    """
    from skimage.measure import label

    lesions, true = label(truth, connectivity=3, return_num=True)  # type: ignore[no-untyped-call]
    hit = lesions[tuple(_centres(prediction).T)]
    return Lesions(len(np.unique(hit[hit > 0])), int(true), int((hit == 0).sum()))


class OperatingPoint(NamedTuple):
    """What a threshold of the probability gives, over all scans.

    Attributes:
        threshold: Voxels of at least this probability are predicted.
        sensitivity: Share of all lesions that are found.
        false_positives: Per scan.
    """

    threshold: float
    sensitivity: float
    false_positives: float


def froc(scans: Sequence[tuple[Array, Array]], thresholds: Sequence[float]) -> list[OperatingPoint]:
    """Trace the free-response curve: sensitivity against false positives per scan.

    Args:
        scans: Probability of the label and true mask of each scan, `(D, H, W)` both.
        thresholds: Of the probability, in (0, 1].

    Returns:
        A point per threshold, from strict to lenient.

    Raises:
        ValueError: If there is no scan.
    """
    if not scans:
        msg = "froc: expected at least one scan with probabilities and true labels, got 0"
        raise ValueError(msg)
    points = []
    for threshold in sorted(thresholds, reverse=True):
        counts = [count_lesions(found >= threshold, truth) for found, truth in scans]
        total = Lesions(*np.sum(counts, axis=0).tolist())
        points.append(
            OperatingPoint(threshold, total.sensitivity, total.false_positives / len(scans))
        )
    return points


def froc_score(points: Sequence[OperatingPoint], rates: Sequence[float]) -> float:
    """Mean, over the rates, of the best sensitivity with at most so many false positives per scan.

    In [0, 1], higher is better; a rate that no threshold keeps counts 0. Nothing is interpolated.
    nan where no scan has a lesion.
    """
    if any(np.isnan(one.sensitivity) for one in points):
        return float("nan")
    best = [
        max((one.sensitivity for one in points if one.false_positives <= rate), default=0.0)
        for rate in rates
    ]
    return float(np.mean(best))


def _centres(mask: Array) -> NDArray[np.int64]:
    """Centres of gravity of the components, rounded to voxels, `(n, 3)`."""
    from skimage.measure import label, regionprops

    components = label(mask, connectivity=3)  # type: ignore[no-untyped-call]
    places = [each.centroid for each in regionprops(components)]  # type: ignore[no-untyped-call]
    return np.asarray(np.rint(np.array(places).reshape(-1, mask.ndim)), np.int64)


@lru_cache(maxsize=1)  # two metrics ask the same of a pair, one after the other
def _counted(pair: MaskPair) -> Lesions:
    return count_lesions(pair.prediction, pair.truth)


METRICS = (
    Metric(
        "lesion_sensitivity",
        lambda pair: _counted(pair).sensitivity,
        label="lesions found",
        of=("predictions",),
        better="higher",
        ideal=1,
        percent=True,
        digits=1,
        on_request=True,
    ),
    Metric(
        "lesion_false_positives",
        lambda pair: float(_counted(pair).false_positives),
        label="false positives",
        unit="per scan",
        of=("predictions",),
        better="lower",
        ideal=0,
        digits=2,
        on_request=True,
    ),
)
