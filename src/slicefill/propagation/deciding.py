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
        lead: By how many pixels the first leads the next; below 0 where the next is a label that is
            expected to have ended.
        there: Probability that the label is there at all, in [0, 1].
        rival_there: The same of the next one.
    """

    label: Array
    rival: Array
    lead: Floats
    there: Floats
    rival_there: Floats


def decide(evidence: Evidence, weights: Weights) -> Decision:
    """Take the label of the highest score at every pixel.

    A label that is expected to have ended is not taken.
    """
    scores = (1 - weights.followed) * evidence.still + weights.followed * evidence.moved
    scores = scores + weights.likeness * evidence.likeness
    for score, area in zip(scores, evidence.areas, strict=True):
        raised = raise_to_area(score, min(area, score.size))
        score[:] = score + weights.matched * (raised - score) if area else raised
    first, highest = scores.argmax(axis=0), scores.max(axis=0)
    for score, area, outline in zip(scores, evidence.areas, evidence.alone, strict=True):
        if not area:  # if it has not ended, it is where the slice that shows it has it
            score[:] = highest + 2 * outline
    np.put_along_axis(scores, first[None], -np.inf, axis=0)
    second, ids = scores.argmax(axis=0), np.asarray(evidence.ids)
    there = np.asarray(evidence.there, np.float32)
    lead = highest - scores.max(axis=0)
    return Decision(ids[first], ids[second], lead, there[first], there[second])


def sureness(decision: Decision, wander: float) -> Floats:
    """Return the probabilities that labels are right, in [0, 1].

    The label must be there, and its rival not there or behind.

    Args:
        decision: With leads over the next label.
        wander: By how many pixels outlines may lie elsewhere; above 0.

    Example:
        Side by side; far ahead; and far ahead of a label that has ended as likely as not:

        >>> lead, one = np.array([0, 90, -90]), np.ones(3)
        >>> rival_there = np.array([1, 1, 0.5])
        >>> sureness(Decision(one, 0 * one, lead, one, rival_there), 2.0).tolist()
        [0.5, 1.0, 0.5]
    """
    behind = 1 / (1 + np.exp(-decision.lead.astype(np.float64) / wander))
    return np.asarray(decision.there * (1 - decision.rival_there * (1 - behind)), np.float32)


def expected_dice(decision: Decision, sure: Floats) -> float:
    """Dice that the labels of a slice, all together, are expected to have with the truth.

    Of a slice that shows none, the probability that it is truly blank: as the least sure pixel is.

    Args:
        decision: The labels, and what they are if they are not right.
        sure: Probability that each is right.

    Example:
        Two pixels of which one may as well be background, and a sure background:

        >>> label, rival, one = np.array([1, 1, 0]), np.array([0, 0, 1]), np.ones(3)
        >>> expected_dice(Decision(label, rival, one, one, one), np.array([1, 0.5, 1]))
        0.8571428571428571
    """
    shown = decision.label != 0
    if not shown.any():
        return float(sure[decision.rival != 0].min(initial=1.0))
    right = float(sure[shown].sum(dtype=np.float64))
    other = float((1 - sure[decision.rival != 0]).sum(dtype=np.float64))
    return 2 * right / (int(shown.sum()) + right + other)
