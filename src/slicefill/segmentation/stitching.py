"""Windows put together without blending: every voxel from the window whose centre is nearest.

So no voxel is predicted at the edge of a window, where a network sees half of its surroundings, and
nothing is averaged (Assis et al., 2021: of tiles of 48 voxels the middle 32).
"""

from itertools import pairwise, product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Part(NamedTuple):
    """Of one axis: where a window begins, and which voxels it gives."""

    start: int
    first: int
    end: int


def divide(size: int, window: int, overlap: float) -> list[Part]:
    """Place windows along an axis, the last one flush with its end.

    Args:
        size: Voxels, at least as many as the window has.
        window: Voxels.
        overlap: Share of a window that the next one has too, at least, but for rounding; in [0, 1).

    Example:
        Of 48 voxels with an overlap of a third the middle 32, and the ends to the border:

        >>> divide(112, 48, 1 / 3)
        [Part(start=0, first=0, end=40), Part(start=32, first=40, end=72), \
Part(start=64, first=72, end=112)]
    """
    step = max(1, round(window * (1 - overlap)))
    starts = [*range(0, size - window, step), size - window]
    middles = [(one + other + window) // 2 for one, other in pairwise(starts)]
    edges = [0, *middles, size]
    return [Part(*each) for each in zip(starts, edges[:-1], edges[1:], strict=True)]


def stitch_centres(
    network: nn.Module, volume: Tensor, window: tuple[int, ...], overlap: float, batch: int
) -> Tensor:
    """Predict a volume in windows, and take every voxel from the window with the nearest centre.

    Args:
        network: From `(B, C, d, h, w)` to logits `(B, K, d, h, w)`.
        volume: `(C, D, H, W)`; where it is smaller than a window, its edge goes on.
        window: Voxels.
        overlap: As of `divide`.
        batch: Windows at once.

    Returns:
        `(K, D, H, W)`.
    """
    shape = volume.shape[1:]
    missing = [max(0, want - have) for want, have in zip(window, shape, strict=True)]
    margins = [(lack // 2, lack - lack // 2) for lack in missing]
    flat = [edge for pair in reversed(margins) for edge in pair]
    padded = F.pad(volume[None], flat, mode="replicate")[0]
    axes = [divide(*each, overlap) for each in zip(padded.shape[1:], window, strict=True)]
    parts = list(product(*axes))
    made: Tensor | None = None
    for begin in range(0, len(parts), batch):
        some = parts[begin : begin + batch]
        logits = network(torch.stack([_cut(padded, part, window) for part in some])).float()
        if made is None:
            made = logits.new_empty((logits.shape[1], *padded.shape[1:]))
        for part, own in zip(some, logits, strict=True):
            here = tuple(slice(one.first, one.end) for one in part)
            inside = tuple(slice(one.first - one.start, one.end - one.start) for one in part)
            made[:, *here] = own[:, *inside]
    assert made is not None  # there is at least one window
    box = tuple(slice(first, first + size) for (first, _), size in zip(margins, shape, strict=True))
    return made[:, *box]


def _cut(volume: Tensor, part: tuple[Part, ...], window: tuple[int, ...]) -> Tensor:
    box = tuple(slice(one.start, one.start + size) for one, size in zip(part, window, strict=True))
    return volume[:, *box]
