"""Labels of a slice from the evidence, and how sure they are."""

from typing import NamedTuple

import numpy as np

from slicefill.imputation.areas import raise_to_area
from slicefill.propagation.evidence import Evidence
from slicefill.types import Array, Floats


class Weights(NamedTuple):
    """What counts how much.

    Attributes:
        followed: Share of the outlines that motion moved, in [0, 1].
        likeness: Pixels that a unit of log-odds of the votes of like patches is worth.
        matched: Share of the step towards the expected area, in [0, 1].
    """

    followed: float
    likeness: float
    matched: float


class Decision(NamedTuple):
    """Labels in a box, and by how many pixels the score of each leads that of the next."""

    label: Array
    lead: Floats


def decide(evidence: Evidence, weights: Weights) -> Decision:
    """Take the label of the highest score at every pixel.

    A label that is expected to have ended is not taken.
    """
    scores = (1 - weights.followed) * evidence.still + weights.followed * evidence.moved
    scores = scores + weights.likeness * evidence.likeness
    for score, area in zip(scores, evidence.areas, strict=True):
        raised = raise_to_area(score, min(area, score.size))
        score[:] = score + weights.matched * (raised - score) if area else raised
    order = np.partition(scores, -2, axis=0)
    with np.errstate(invalid="ignore"):  # no label but one is left: it leads by infinity
        lead = order[-1] - order[-2]
    return Decision(np.asarray(evidence.ids)[scores.argmax(axis=0)], lead)


def sureness(lead: Floats, steepness: float) -> Floats:
    """Turn leads into probabilities that labels are right, in [0.5, 1].

    Example:
        >>> sureness(np.array([0, np.inf]), 0.8).tolist()
        [0.5, 1.0]
    """
    return np.asarray(1 / (1 + np.exp(-steepness * lead)), np.float32)


def expected_dice(label: Array, sure: Floats) -> float:
    """Dice that the labels of a slice, all together, are expected to have with the truth.

    Args:
        label: Ids; 0 is background.
        sure: Probability that each is right.

    Example:
        Two pixels of which one is wrong at evens, and a sure background:

        >>> expected_dice(np.array([1, 1, 0]), np.array([1, 0.5, 1]))
        0.8571428571428571
    """
    shown = label != 0
    right = float(sure[shown].sum(dtype=np.float64))
    missed = float((1 - sure[~shown]).sum(dtype=np.float64))
    total = int(shown.sum()) + right + missed
    return 2 * right / total if total else 1.0
