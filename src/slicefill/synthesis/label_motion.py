"""Do labels follow the motion of the image? Acquired labels, predicted from each other, tell."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.interpolation.classical import CLASSICAL
from slicefill.synthesis.model import Motion
from slicefill.types import Array, Filling, Stack

_CLEARLY = 0.01  # Dice
_AVERAGED = ("to_first", "to_last", "first_share", "moved")
_RADIUS = 2  # pixels over which the motion of labels is averaged: outlines are smooth


def labels_follow(fill: Callable[[Stack], Filling], stack: Stack) -> bool:
    """Compare labels by motion and by shape on acquired slices, from the slices next to them.

    Outlines that were drawn slice by slice, or in another image, need not move as the image does.

    Args:
        fill: Fills the middle of every gap of a stack, labels by motion.
        stack: With a label; every second inner slice is left out and predicted.

    Returns:
        Whether motion has the clearly larger mean Dice over labels: slices that are left out are
        twice as far apart as in use, which favours motion. False where none can be left out.
    """
    gaps = (len(stack.image) - 1) // 2
    if stack.label is None or gaps < 1:
        return False
    kept = slice(0, 2 * gaps + 1, 2)
    thin = Stack(stack.image[kept], stack.window, stack.label[kept])
    truth = stack.label[1 : 2 * gaps : 2]
    by_motion, by_shape = fill(thin).label, CLASSICAL["shape_based"](thin, [0.5]).label
    return mean_dice(by_motion, truth) > mean_dice(by_shape, truth) + _CLEARLY


def mean_dice(found: Array | None, truth: Array) -> float:
    """Mean Dice over the labels of the truth but the background; 0 where there is none.

    Example:
        >>> mean_dice(np.array([1, 1, 0, 2]), np.array([1, 0, 0, 2]))
        0.8333333333333333
    """
    if found is None:
        return 0.0
    found = found.reshape(truth.shape)
    masks = [(found == label, truth == label) for label in np.unique(truth) if label != 0]
    scores = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in masks]
    return float(np.mean(scores)) if scores else 0.0


def smooth_motion(motion: Motion, t: float) -> Motion:
    """Average the motion over a square around every pixel."""
    size = 2 * _RADIUS + 1

    def smooth(field: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(field, (_RADIUS,) * 4, mode="replicate"), size, 1)

    maps = {name: field for name, field in motion._asdict().items() if name in _AVERAGED}
    averaged = {n: smooth(m) for n, m in maps.items() if m is not None and m.ndim == 4}
    return motion._replace(**averaged)


def without_motion(motion: Motion, t: float) -> Motion:
    """Blend in place: what is left is interpolation by shape."""
    nothing = torch.zeros_like(motion.to_first)
    share = torch.tensor(1 - t, device=nothing.device)
    return motion._replace(to_first=nothing, to_last=nothing, first_share=share, moved=None)
