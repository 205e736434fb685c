"""Labels by the motion of the image: one field per id is warped and blended, eq. (5)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.interpolation.distances import distance_pair
from slicefill.synthesis.model import Motion
from slicefill.types import Array, Floats

Fields = dict[int, tuple[Tensor, Tensor]]
"""Per label id, its field on the first and on the last slices, `(B, 1, H, W)` each."""

SHAPE_AND_MOTION = "shape_and_motion"
"""Signed distances that follow motion with caution: outlines are smooth, the background yields."""

_YIELD = 0.3  # pixels that the background steps back: blended distances shrink what is round
_FOLLOWED = 0.25  # of how far the image believes in motion: outlines need not move as it does
_RADIUS = 2  # pixels over which the motion of labels is averaged
_AVERAGED = ("to_first", "to_last", "first_share", "moved")
_TIE = 1e-4  # added to the share of the nearer slice, so that it decides ties between labels


def label_fields(first: Tensor, last: Tensor, kind: str) -> Fields:
    """Turn label ids `(B, H, W)` into one field per id that can be warped and blended.

    Args:
        first: Label ids of the first slices.
        last: Label ids of the last slices.
        kind: `one_hot` is the paper's (eq. 5). `signed_distance` is the distance to the outline
            in pixels, positive inside, so that what motion leaves unexplained is interpolated by
            shape; an object that only one of both slices shows ends half-way. `shape_and_motion`
            is the same with a background that yields a little.
    """
    convert = _one_hot_pair if kind == "one_hot" else distance_pair
    pair = [ids.cpu().numpy() for ids in (first, last)]
    fields = {}
    for label in np.union1d(*pair).tolist():
        behind = _YIELD if kind == SHAPE_AND_MOTION and label == 0 else 0.0
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


def label_motion(motion: Motion, kind: str) -> Motion:
    """Choose the motion that labels take from that of the image: it, or with caution.

    Caution averages it over a square around every pixel. Where the model says how far motion is
    believed, a quarter of that is left; the rest of the label is interpolated by shape.
    """
    if kind != SHAPE_AND_MOTION:
        return motion
    maps = {name: field for name, field in motion._asdict().items() if name in _AVERAGED}
    averaged = {n: _average(m) for n, m in maps.items() if m is not None and m.ndim == 4}
    if motion.moved is not None:
        averaged["moved"] = _FOLLOWED * averaged["moved"]
    return motion._replace(**averaged)


def _average(field: Tensor) -> Tensor:
    padded = F.pad(field, (_RADIUS,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * _RADIUS + 1, 1)


def _one_hot_pair(first: Array, last: Array) -> tuple[Floats, Floats]:
    return first.astype(np.float32), last.astype(np.float32)
