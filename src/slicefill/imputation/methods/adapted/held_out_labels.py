"""Labels of held-out slices, predicted from the two slices beside each."""

import math
from collections.abc import Mapping

import numpy as np

from slicefill.geometry import through_plane_axis
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.slice_imputation.infer import (
    FlowImputer,
    impute_by_flow,
    load_flow_imputer,
)
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.params.imputation import CautionParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Array, Checkpoint, Promise, Stack

_RULE = LabelRule("signed_distance", CautionParams())
_BATCH_PIXELS = 2**19


def score_held_out_labels(
    checkpoint: Checkpoint, held_out: Mapping[str, Promise], params: SynthesisParams
) -> list[float]:
    """Predict labelled slices from their neighbours with some weights, and score the labels.

    Args:
        checkpoint: Weights of a synthesis network.
        held_out: Cases; those without labels are passed over.
        params: Slice axis, window, device; about as many slices as `optimisation.validation_groups`
            are predicted, those in the middle of the labelled part of every case.

    Returns:
        Dice of every predicted slice, mean over the ids that it or its neighbours show, in an order
        that only the cases fix; empty where there are no labels.
    """
    fabric = launch_fabric(params.hardware)
    imputer = load_flow_imputer(checkpoint, fabric, _BATCH_PIXELS, _RULE, ensemble=False)
    most = math.ceil(params.optimisation.validation_groups / max(len(held_out), 1))
    scores = []
    for name in sorted(held_out):
        case = held_out[name].make()
        if case.label is not None and case.label.stored.any():
            axis = through_plane_axis(case.image.affine, params.through_plane)
            scores += _score(imputer, stack_case(case, axis, params.window), most)
    return scores


def _score(imputer: FlowImputer, stack: Stack, most: int) -> list[float]:
    """Predict at most `most` slices of a stack with labels, and score them."""
    ids, last = stack.label, len(stack.image) - 1
    count = min(last // 2, most)
    if ids is None or count == 0:
        return []
    labelled = np.flatnonzero(ids.any(axis=(1, 2)))
    start = int(np.clip((labelled[0] + labelled[-1]) // 2 - count, 0, last - 2 * count))
    run = slice(start, start + 2 * count + 1)
    kept = np.ascontiguousarray(stack.image[run][::2])
    sparse = Stack(kept, stack.window, np.ascontiguousarray(ids[run][::2]))
    made = impute_by_flow(imputer, sparse, [0.5]).label
    if made is None:
        return []
    around = zip(ids[run][:-2:2], ids[run][1::2], ids[run][2::2], made[:, 0], strict=True)
    found = [dice_of_slice(np.stack([a, truth, b]), truth, own) for a, truth, b, own in around]
    return [value for value in found if value is not None]


def dice_of_slice(shown: Array, truth: Array, made: Array) -> float | None:
    """Mean Dice over the ids that some slices show; None where they show none but background.

    Args:
        shown: The slices whose ids count, `(n, H, W)`: truth and neighbours.
        truth: `(H, W)`.
        made: `(H, W)`.

    Example:
        One of two pixels of label 1 is found; label 2, which a neighbour shows, is rightly absent:

        >>> truth, made = np.array([[1, 1, 0]]), np.array([[1, 0, 0]])
        >>> round(dice_of_slice(np.array([[[1, 1, 0]], [[1, 0, 2]]]), truth, made), 3)
        0.833
    """
    scores = []
    for identity in np.unique(shown[shown != 0]).tolist():
        real, found = truth == identity, made == identity
        both = int(real.sum()) + int(found.sum())
        scores.append(2 * int((real & found).sum()) / both if both else 1.0)
    return float(np.mean(scores)) if scores else None
