"""Batches of intervals, and the slices around them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.foreground import (
    INTERVALS_PER_BOX,
    Box,
    batches,
)
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.types import Stack


class Near(NamedTuple):
    """The slices around some intervals.

    Attributes:
        intervals: Of the stack.
        box: Rows and columns in which they show something.
        own: The intervals by their number among these slices, which reach one further.
        shown: In [0, 1], as many channels as the model has.
        intensities: Of all channels.
    """

    intervals: slice
    box: Box
    own: slice
    shown: Tensor
    intensities: Tensor

    def pair(self, device: torch.device) -> Pair:
        """The box on both sides of the intervals and, where the stack reaches, beyond them."""
        inside = self.box.cut(self.shown)

        def at(offset: int) -> Tensor:
            places = torch.arange(self.own.start, self.own.stop) + offset
            chosen = inside[places.clamp(0, len(inside) - 1)].to(device)
            return chosen.contiguous(memory_format=torch.channels_last)

        return Pair(at(0), at(1), torch.cat([at(-1), at(2)], 1))


def each_near(stack: Stack, channels: int, pixels: int) -> Iterator[Near]:
    """Divide the intervals as `batches` does; no more than their slices are scaled at once."""
    for start in range(0, len(stack.image) - 1, INTERVALS_PER_BOX):
        first = max(start - 1, 0)
        slices = stack.image[first : start + INTERVALS_PER_BOX + 2]
        shown = torch.from_numpy(replace(stack, image=slices).normalised()[:, :channels])
        sides = shown[start - first : start - first + INTERVALS_PER_BOX + 1]
        for part, box in batches(sides, pixels):
            own, place = (slice(part.start + n, part.stop + n) for n in (start - first, start))
            yield Near(place, box, own, shown, torch.from_numpy(slices))
