"""Labels by the motion of the image: one field per id is warped and blended, eq. (5)."""

import numpy as np
import torch
from torch import Tensor

from slicefill.interpolation.distances import distance_pair
from slicefill.synthesis.model import Motion
from slicefill.types import Array, Floats

Fields = dict[int, tuple[Tensor, Tensor]]
"""Per label id, its field on the first and on the last slices, `(B, 1, H, W)` each."""

ADAPTIVE, FOLLOWING = "adaptive", "following"
"""Labels that follow the motion if that explains the acquired ones, and whether or not it does."""

_YIELD = 0.3  # pixels that the background steps back: blended distances shrink what is round
_TIE = 1e-4  # added to the share of the nearer slice, so that it decides ties between labels


def label_fields(first: Tensor, last: Tensor, kind: str) -> Fields:
    """Turn label ids `(B, H, W)` into one field per id that can be warped and blended.

    Args:
        first: Label ids of the first slices.
        last: Label ids of the last slices.
        kind: `one_hot` is the paper's (eq. 5). `signed_distance` is the distance to the outline
            in pixels, positive inside, so that what motion leaves unexplained is interpolated by
            shape; an object that only one of both slices shows ends half-way. `adaptive` is
            the same with a background that yields a little.
    """
    convert = _one_hot_pair if kind == "one_hot" else distance_pair
    pair = [ids.cpu().numpy() for ids in (first, last)]
    fields = {}
    for label in np.union1d(*pair).tolist():
        behind = _YIELD if kind in (ADAPTIVE, FOLLOWING) and label == 0 else 0.0
        one, other = (
            torch.from_numpy(field)[:, None].to(first.device) - behind
            for field in convert(pair[0] == label, pair[1] == label)
        )
        fields[label] = (one, other)
    return fields


def vote(motion: Motion, fields: Fields, t: float) -> Tensor:
    """Warp and blend the fields of all labels and take the highest, `(B, H, W)`.

    A tie goes to the nearer slice (to the first at t = 0.5). No id appears that is not in one
    of the two slices.
    """
    nearer = motion.first_share + (_TIE if t <= 0.5 else -_TIE)
    decisive = motion._replace(first_share=nearer)
    labels = torch.tensor(list(fields), device=motion.to_first.device)
    best = labels[0].expand(motion.to_first[:, 0].shape)
    highest = torch.full_like(motion.to_first[:, 0], -torch.inf)
    for label, pair in zip(labels, fields.values(), strict=True):
        score = decisive.blend(*pair)[:, 0]
        best = torch.where(score > highest, label, best)
        highest = torch.maximum(score, highest)
    return best


def _one_hot_pair(first: Array, last: Array) -> tuple[Floats, Floats]:
    return first.astype(np.float32), last.astype(np.float32)
