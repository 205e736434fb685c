"""What counts how much on a scan, by its annotated slices: each predicted from its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from slicefill.metrics.overlap import mean_dice
from slicefill.params.propagation import PropagationParams
from slicefill.propagation.deciding import Weights, decide
from slicefill.propagation.evidence import AnnotatedScan, Evidence, Interval, gather
from slicefill.types import Array


@dataclass(frozen=True)
class Choice:
    """The weights chosen, and the Dice of held-out slices that spoke for them.

    Attributes:
        weights: What counts how much.
        slices: Annotated slices that were predicted from those around them.
        dice: Theirs by the weights, mean over labels; None if none of them shows a label. They lie
            twice as far from annotated slices as those between, so it is a cautious estimate.
    """

    weights: Weights
    slices: tuple[int, ...] = ()
    dice: float | None = None

    def record(self) -> dict[str, Any]:
        """Return what a record says of it."""
        dice = None if self.dice is None else round(self.dice, 4)
        return {**self.weights._asdict(), "held_out": list(self.slices), "held_out_dice": dice}


def choose_weights(scan: AnnotatedScan, params: PropagationParams) -> Choice:
    """Predict annotated slices from the annotated slices around them, and take what does best.

    Where they are predicted badly, they are too far apart to say what slices between need; where
    little is gained, it is chance: the first weights are taken. Slices without evidence, which are
    blank by any weights, do not take part in the choice; they count in its Dice.
    """
    candidates = [
        Weights(followed, likeness, params.matched)
        for followed, likeness in product(params.followed, params.likeness)
    ]
    known = scan.annotated
    numbers = np.linspace(1, len(known) - 2, min(params.held_out, len(known) - 2))
    evidence: dict[int, Evidence] = {}
    held_out = []
    for number in map(round, numbers):
        interval = Interval(known[number - 1], known[number + 1])
        held_out.append(known[number])
        evidence |= gather(scan, interval, [known[number]], params)
    scores = [_dice(scan.label, list(evidence), evidence, each) or 0.0 for each in candidates]
    best = int(np.argmax(scores))
    if scores[0] < params.least_dice or scores[best] - scores[0] < params.least_gain:
        best = 0
    dice = _dice(scan.label, held_out, evidence, candidates[best])
    return Choice(candidates[best], tuple(held_out), dice)


def _dice(
    label: Array, indices: Sequence[int], evidence: dict[int, Evidence], weights: Weights
) -> float | None:
    """Dice over held-out slices, mean over the labels that they show; None if they show none."""
    truth = label[list(indices)]
    predicted = np.zeros_like(truth)
    for own, index in zip(predicted, indices, strict=True):
        if index in evidence:  # else neither of its neighbours shows a label
            own[evidence[index].box] = decide(evidence[index], weights).label
    shown = [int(i) for i in np.unique(truth) if i]
    return mean_dice(predicted, truth, shown) if shown else None
