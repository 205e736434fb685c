"""Where labels may change: they are imputed in a box around the objects of some intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.foreground import Box, occupied
from slicefill.imputation.methods.slice_imputation.labels import LabelRule, Labels
from slicefill.imputation.methods.slice_imputation.motion import Motion
from slicefill.types import Array

_MARGIN = 16  # pixels beside objects: outlines that follow motion with caution stay within
_RING = 4  # pixels along the edges of a box; where an object reaches them, whole slices decide


@dataclass(frozen=True)
class BoxedLabels:
    """What is known of the labels on both sides of some intervals, near objects.

    Elsewhere there is background. In the box it is known exactly as on whole slices.

    Attributes:
        ids: Of the slices that have a say, `(n, H, W)`.
        intervals: Of these slices.
        shown: First and last slices at the intervals in [0, 1], `(B, C, H, W)` each, whole.
        rule: How labels follow the image.
        box: Around all objects.
        labels: What is known of them in the box.
    """

    ids: Array
    intervals: slice
    shown: tuple[Tensor, Tensor]
    rule: LabelRule
    box: Box
    labels: Labels

    @classmethod
    def around(
        cls, intervals: slice, ids: Array, shown: tuple[Tensor, Tensor], rule: LabelRule, far: bool
    ) -> Self:
        """Look at the labels around some intervals.

        Args:
            intervals: Consecutive ones: interval `g` lies between slices `g` and `g + 1`.
            ids: Of a whole stack, `(D, H, W)`.
            shown: First and last slices at the intervals in [0, 1], `(B, C, H, W)` each.
            rule: How labels follow the image.
            far: Whether motion may take labels anywhere; the box is then the whole slice.
        """
        start = max(intervals.start - 1, 0)
        near = ids[start : intervals.stop + 2]
        within = slice(intervals.start - start, intervals.stop - start)
        box = _whole(near) if far or rule.caution is None else _objects(near)
        return cls(near, within, shown, rule, box, _look(near, within, shown, rule, box))

    def impute(
        self, motion: Motion, made: Tensor, t: float, areas: Mapping[int, Array]
    ) -> tuple[Box, Tensor]:
        """Impute the labels at t: a box, and the ids in it, `(B, h, w)`; outside they are 0.

        Args:
            motion: Of the image, on whole slices.
            made: Synthetic slices in [0, 1], `(B, C, H, W)`, whole.
            t: In (0, 1).
            areas: Of every label on the B whole slices, `LabelRule.areas`.
        """
        if self.box == (everywhere := _whole(self.ids)):
            return self.box, self.labels.impute(motion, made, t, areas)
        found = self._impute_in_box(motion, made, t, areas)
        if found is not None:
            return self.box, found
        labels = _look(self.ids, self.intervals, self.shown, self.rule, everywhere)
        return everywhere, labels.impute(motion, made, t, areas)

    def _impute_in_box(
        self, motion: Motion, made: Tensor, t: float, areas: Mapping[int, Array]
    ) -> Tensor | None:
        """The ids in the box; None where an object reaches its edge or leaves no background."""
        box = self.box
        outside = box.height * box.width - (box.bottom - box.top) * (box.right - box.left)
        due = {label: area - outside if label == 0 else area for label, area in areas.items()}
        if 0 in due and (due[0] <= 0).any():
            return None
        maps = {name: box.cut(part) for name, part in motion._asdict().items() if _is_map(part)}
        found = self.labels.impute(motion._replace(**maps), box.cut(made), t, due)
        return None if _at_edge(found, box) else found


def _look(
    ids: Array, intervals: slice, shown: tuple[Tensor, Tensor], rule: LabelRule, box: Box
) -> Labels:
    own = torch.from_numpy(box.cut(ids).astype(np.int64))
    far = float(np.hypot(box.height, box.width))
    return Labels.around(intervals, own, (box.cut(shown[0]), box.cut(shown[1])), rule, far)


def _objects(ids: Array) -> Box:
    """Box around all that is no background, with a margin; the slice where that is most of it."""
    tight = occupied(torch.from_numpy(ids != 0)[:, None])
    return Box(
        max(tight.top - _MARGIN, 0),
        min(tight.bottom + _MARGIN, tight.height),
        max(tight.left - _MARGIN, 0),
        min(tight.right + _MARGIN, tight.width),
        tight.height,
        tight.width,
    )


def _whole(ids: Array) -> Box:
    height, width = ids.shape[-2:]
    return Box(0, height, 0, width, height, width)


def _is_map(part: Tensor | None) -> bool:
    return part is not None and part.ndim == 4


def _at_edge(found: Tensor, box: Box) -> bool:
    """Whether an object comes near an edge of the box that is no edge of the slice."""
    inner = Box(
        _RING if box.top > 0 else 0,
        found.shape[-2] - (_RING if box.bottom < box.height else 0),
        _RING if box.left > 0 else 0,
        found.shape[-1] - (_RING if box.right < box.width else 0),
        *found.shape[-2:],
    )
    return bool(torch.count_nonzero(found) > torch.count_nonzero(inner.cut(found)))
