"""Where slices show something: the networks see no more than the box around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.types import Array

Slices = TypeVar("Slices", Tensor, Array)
INTERVALS_PER_BOX = 4
"""On a CPU, larger batches gain nothing (benchmarks/imputation.py)."""


@dataclass(frozen=True)
class Box:
    """Rows and columns that show more than background, and the size of the whole slice."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def whole(cls, height: int, width: int) -> Self:
        """The box that is the whole slice."""
        return cls(0, height, 0, width, height, width)

    def cut(self, slices: Slices) -> Slices:
        """View the box in slices `(..., H, W)`."""
        return slices[..., self.top : self.bottom, self.left : self.right]

    def paste(self, inside: Tensor, outside: float = 0.0) -> Tensor:
        """Put `(..., h, w)` of the box into slices of one value, `(..., H, W)`."""
        margins = (self.left, self.width - self.right, self.top, self.height - self.bottom)
        return F.pad(inside, margins, value=outside)


def occupied(shown: Tensor) -> Box:
    """Box of all that is above 0 in any slice; outside, all slices agree on background."""
    height, width = shown.shape[-2:]
    mask = (shown > 0).any(dim=0).any(dim=0)
    if not mask.any():
        return Box(0, min(2, height), 0, min(2, width), height, width)  # nothing moves
    top, bottom = _span(mask.any(1))
    left, right = _span(mask.any(0))
    return Box(top, bottom, left, right, height, width)


def _span(shows: Tensor) -> tuple[int, int]:
    """First and last + 1 of what shows something; at least two pixels, as warping needs."""
    places = torch.nonzero(shows).flatten()
    last = min(max(int(places[-1]) + 1, int(places[0]) + 2), len(shows))
    return min(int(places[0]), max(last - 2, 0)), last


def batches(shown: Tensor, pixels: int) -> Iterator[tuple[slice, Box]]:
    """Divide the intervals into batches of at most `pixels`, each with its foreground box.

    A box is shared by a fixed number of neighbouring intervals, so that results do not depend on
    `pixels`: the ends of a body cost less than its middle.
    """
    intervals = len(shown) - 1
    for start in range(0, intervals, INTERVALS_PER_BOX):
        stop = min(start + INTERVALS_PER_BOX, intervals)
        box = occupied(shown[start : stop + 1])
        size = max(1, pixels // box.cut(shown)[0, 0].numel())
        for first in range(start, stop, size):
            yield slice(first, min(first + size, stop)), box


def far_side(intervals: slice) -> slice:
    """Slices after some intervals, whose slices before have the same numbers as the intervals.

    Example:
        >>> far_side(slice(2, 5))
        slice(3, 6, None)
    """
    return slice(intervals.start + 1, intervals.stop + 1)
