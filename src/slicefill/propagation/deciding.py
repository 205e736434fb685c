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
    """Labels in a box.

    Attributes:
        label: Ids of the highest score; 0 is background.
        rival: Ids of the next one: what the label is if it is not right.
        lead: By how many pixels the first leads the next.
    """

    label: Array
    rival: Array
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
    ids, first, highest = np.asarray(evidence.ids), scores.argmax(axis=0), scores.max(axis=0)
    np.put_along_axis(scores, first[None], -np.inf, axis=0)
    with np.errstate(invalid="ignore"):  # no label but one is left: it leads by infinity
        lead = highest - scores.max(axis=0)
    return Decision(ids[first], ids[scores.argmax(axis=0)], lead)


def sureness(lead: Floats, wander: float) -> Floats:
    """Turn leads into probabilities that labels are right, in [0.5, 1].

    Args:
        lead: Over the next label, pixels.
        wander: By how many pixels outlines may lie elsewhere; above 0.

    Example:
        >>> sureness(np.array([0, np.inf]), 2.0).tolist()
        [0.5, 1.0]
    """
    return np.asarray(1 / (1 + np.exp(-lead / wander)), np.float32)


def expected_dice(decision: Decision, sure: Floats) -> float:
    """Dice that the labels of a slice, all together, are expected to have with the truth.

    Args:
        decision: The labels, and what they are if they are not right.
        sure: Probability that each is right.

    Example:
        Two pixels of which one may as well be background, and a sure background:

        >>> label, rival = np.array([1, 1, 0]), np.array([0, 0, 1])
        >>> expected_dice(Decision(label, rival, np.zeros(3)), np.array([1, 0.5, 1]))
        0.8571428571428571
    """
    shown = decision.label != 0
    right = float(sure[shown].sum(dtype=np.float64))
    other = float((1 - sure[decision.rival != 0]).sum(dtype=np.float64))
    total = int(shown.sum()) + right + other
    return 2 * right / total if total else 1.0
