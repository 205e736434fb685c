"""Fields of labels on both sides of some intervals: what is blended for every id."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.distances import (
    across_intervals,
    bends,
    break_ties,
    signed_distances,
)
from slicefill.imputation.methods.slice_imputation.foreground import Box, far_side
from slicefill.params.imputation import CautionParams
from slicefill.types import Array, Floats

_NOTHING: Mapping[int, Any] = MappingProxyType({})


class Field(NamedTuple):
    """What is blended for one label, `(B, 1, H, W)` each.

    Attributes:
        first: On the first slices of some intervals.
        last: On the last slices.
        bend_first: How far it bends across slices on the first, as far as that is followed;
            None: not at all.
        bend_last: The same on the last.
    """

    first: Tensor
    last: Tensor
    bend_first: Tensor | None = None
    bend_last: Tensor | None = None

    def to(self, device: torch.device) -> "Field":
        """Move to a device."""
        parts = {name: part.to(device) for name, part in self._asdict().items() if part is not None}
        return self._replace(**parts)

    def bend(self, t: float) -> Tensor | float:
        """What a cubic across four slices (Catmull-Rom) adds to linear interpolation at t."""
        if self.bend_first is None or self.bend_last is None:
            return 0.0
        return -0.5 * t * (1 - t) * torch.lerp(self.bend_first, self.bend_last, t)


def label_fields(
    ids: Tensor,
    intervals: slice,
    kind: str,
    caution: CautionParams | None = None,
    far: float | None = None,
    boxes: Mapping[int, Box] = _NOTHING,
) -> dict[int, Field]:
    """Turn the label ids around some intervals into one field per id that is there.

    Args:
        ids: Of a whole stack, `(D, H, W)`, on the CPU.
        intervals: Consecutive ones: interval `g` lies between slices `g` and `g + 1`.
        kind: `one_hot` is the paper's (eq. 5). `signed_distance` is the distance to the outline in
            pixels, positive inside, so that what motion leaves unexplained is interpolated by
            shape; an object that only one of both slices shows ends half-way.
        caution: Of distances, how far outlines bend across slices.
        far: As in `signed_distances`.
        boxes: By id, where its field is wanted; of other ids everywhere.

    Returns:
        By id, ascending, `(B, 1, H, W)` for B intervals, or of the size of its box; ids that none
        of their slices shows are absent.
    """
    start = max(intervals.start - 1, 0)
    around = ids[start : intervals.stop + 2].numpy()
    inside = slice(intervals.start - start, intervals.stop - start)
    fields = {}
    for label in np.unique(around[inside.start : inside.stop + 1]).tolist():
        masks = (boxes[label].cut(around) if label in boxes else around) == label
        if kind == "one_hot":
            fields[label] = _as_field(*_ends(masks.astype(np.float32), inside))
        else:
            fields[label] = _by_distance(masks, inside, caution, far)
    return fields


def _by_distance(
    masks: Array, intervals: slice, caution: CautionParams | None, far: float | None
) -> Field:
    """Signed distances beside the intervals and, with caution, how far they bend there."""
    distances = signed_distances(masks, far)
    if caution is not None:
        distances = break_ties(distances)
    first, last = (side[intervals] for side in across_intervals(masks, distances))
    if caution is None:
        return _as_field(first, last)
    bent = _ends(caution.curvature * bends(masks, distances), intervals)
    return _as_field(first, last, *bent)


def _ends(slices: Floats, intervals: slice) -> tuple[Floats, Floats]:
    """First and last slices of intervals."""
    return slices[intervals], slices[far_side(intervals)]


def _as_field(*parts: Floats) -> Field:
    return Field(*(torch.from_numpy(np.ascontiguousarray(part))[:, None] for part in parts))
