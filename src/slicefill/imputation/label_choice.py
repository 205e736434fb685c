"""How far a scan's labels depart from plain shape: its own labelled slices tell.

Labelled slices are predicted from those beside them, two intervals apart, by shape alone and with
areas. No network takes part.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from slicefill.imputation.methods.classical import impute_classically
from slicefill.metrics.overlap import mean_dice
from slicefill.params.imputation import EndParams
from slicefill.types import Array, Stack

_MANY = 20  # slices that are predicted, at most: those in the middle of the labelled ones
_DOUBT = 0.02  # gain in Dice that is followed half-way, where labels are predicted without error
_UNLIKE = 6  # power of Dice: the worse two intervals are bridged, the less they tell of one
_DIGITS = 4


@dataclass(frozen=True)
class LabelChoice:
    """How far a model departs from labels by shape alone.

    Attributes:
        share: Of motion and of the shift to areas, in [0, 1]; 1 where nothing could be tried.
        tried: Slices that were predicted across two intervals.
        dice: Their mean Dice, by shape with areas (`shape_matched`); None where none was tried.
        gained: By how much that is more than by shape alone (`shape_based`).
    """

    share: float = 1.0
    tried: int = 0
    dice: float | None = None
    gained: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return what was chosen and why, as plain values."""
        told = {"share": round(self.share, _DIGITS), "tried": self.tried}
        if self.dice is None:
            return {**told, "why": "no acquired slice between two others shows a label"}
        why = (
            f"areas change the Dice of {self.tried} acquired slices, predicted from those beside "
            f"them, by {self.gained:+.4f} to {self.dice:.4f} (the more they gain, and the lower "
            "it is, the higher the share)"
        )
        return {**told, "why": why}


def choose_labels(label: Array | None, ends: EndParams) -> LabelChoice:
    """Choose how far a model's labels depart from those by shape alone.

    Where areas help little across two intervals, outlines run so evenly that across one shape alone
    is nearly right, and what is added to it is mostly its own error. The worse labels are predicted
    across two intervals, the less that tells.

    Args:
        label: Ids on the D acquired slices, `(D, H, W)`, or None.
        ends: Where labels end that only one of two slices shows.
    """
    around = None if label is None else _labelled(label)
    if around is None:
        return LabelChoice()
    by_shape, dice = (_dice(around, rule, ends) for rule in ("shape_based", "shape_matched"))
    gained, doubt = max(dice - by_shape, 0.0), _DOUBT * dice**_UNLIKE
    share = gained / (gained + doubt) if doubt else 1.0
    return LabelChoice(share, len(around) - 2, dice, dice - by_shape)


def _labelled(label: Array) -> Array | None:
    """Cut a stack to its labels, with a margin; None where no slice between two shows one."""
    if not label[1:-1].any():
        return None
    shown = find_objects((label != 0).astype(np.uint8))[0]
    middle = (shown[0].start + shown[0].stop) // 2
    first = int(np.clip(middle - _MANY // 2 - 1, 0, max(len(label) - _MANY - 2, 0)))
    own = label[first : first + _MANY + 2, shown[1], shown[2]]
    return np.pad(own, ((0, 0), (1, 1), (1, 1))) if own[1:-1].any() else None


def _dice(label: Array, rule: str, ends: EndParams) -> float:
    """Mean Dice over the ids of slices that are each predicted from the two beside them."""
    truth = label[1:-1]
    made = np.zeros_like(truth)
    for start in range(min(len(truth), 2)):  # keeps every other slice, then the others
        kept = np.ascontiguousarray(label[start::2])
        unseen = Stack(np.zeros((len(kept), 1, 1, 1), np.float32), np.array([[0.0, 1.0]]), kept)
        made[start::2] = impute_classically(rule, unseen, [0.5], ends).label[:, 0]  # type: ignore[index]
    return mean_dice(made, truth, np.unique(truth[truth != 0]).tolist())
