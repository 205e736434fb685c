"""Where labels may change: they are imputed in a box around the objects of some intervals."""

from collections.abc import Callable, Mapping
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
_MOST = 0.7  # of a box: a label that takes more of it has none of its own
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
        labels: What is known of them in the box, of a small one in a box of its own within.
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
        anywhere = far or rule.caution is None
        box = _whole(near) if anywhere else _objects(near != 0)
        own = {} if anywhere else _boxes(box.cut(near))
        return cls(near, within, shown, rule, box, _look(near, within, shown, rule, box, own))

    def impute(
        self,
        motion: Callable[[Box], Motion],
        made: Callable[[Box], Tensor],
        t: float,
        areas: Mapping[int, Array],
    ) -> tuple[Box, Tensor]:
        """Impute the labels at t: a box, and the ids in it, `(B, h, w)`; outside they are 0.

        Args:
            motion: Of the image, in a box.
            made: Synthetic slices in [0, 1], `(B, C, h, w)`, in a box.
            t: In (0, 1).
            areas: Of every label on the B whole slices, `LabelRule.areas`.
        """
        found = self._impute_in_box(motion, made, t, areas)
        if found is not None:
            return self.box, found
        everywhere = _whole(self.ids)
        labels = _look(self.ids, self.intervals, self.shown, self.rule, everywhere, {})
        return everywhere, labels.impute(motion(everywhere), made(everywhere), t, areas)

    def _impute_in_box(
        self,
        motion: Callable[[Box], Motion],
        made: Callable[[Box], Tensor],
        t: float,
        areas: Mapping[int, Array],
    ) -> Tensor | None:
        """The ids in the box; None where an object reaches its edge or leaves no background."""
        box = self.box
        outside = box.height * box.width - (box.bottom - box.top) * (box.right - box.left)
        due = {label: area - outside if label == 0 else area for label, area in areas.items()}
        if outside and 0 in due and (due[0] <= 0).any():
            return None
        found = self.labels.impute(motion(box), made(box), t, due)
        at_edge = _at_edge(found, box) or any(
            _at_edge(own.cut(found) == label, own) for label, own in self.labels.boxes.items()
        )
        return None if at_edge else found


def _look(
    ids: Array,
    intervals: slice,
    shown: tuple[Tensor, Tensor],
    rule: LabelRule,
    box: Box,
    boxes: Mapping[int, Box],
) -> Labels:
    own = torch.from_numpy(box.cut(ids).astype(np.int64))
    far = float(np.hypot(box.height, box.width))
    sides = box.cut(shown[0]), box.cut(shown[1])
    return Labels.around(intervals, own, sides, rule, far, boxes)


def _boxes(ids: Array) -> dict[int, Box]:
    """Box of every label that takes little of the slices, `(D, h, w)`; none of the background."""
    found = {label: _objects(ids == label) for label in np.unique(ids[ids != 0]).tolist()}
    most = _MOST * ids[0].size
    return {
        label: box
        for label, box in found.items()
        if (box.bottom - box.top) * (box.right - box.left) < most
    }


def _objects(there: Array) -> Box:
    """Box around objects on slices, bool, with a margin."""
    tight = occupied(torch.from_numpy(there.any(0))[None, None])
    return Box(
        max(tight.top - _MARGIN, 0),
        min(tight.bottom + _MARGIN, tight.height),
        max(tight.left - _MARGIN, 0),
        min(tight.right + _MARGIN, tight.width),
        tight.height,
        tight.width,
    )


def _whole(ids: Array) -> Box:
    return Box.whole(*ids.shape[-2:])


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


def moving_in(motion: Motion, own: Box, t: float, box: Box) -> Motion:
    """Cut motion to a box.

    Args:
        motion: In the box `own`; nothing moves outside.
        own: Of the same slices.
        t: Position in (0, 1).
        box: In which it is wanted.
    """
    top, bottom = box.top - own.top, box.bottom - own.top
    left, right = box.left - own.left, box.right - own.left
    height, width = own.bottom - own.top, own.right - own.left
    if min(top, left) >= 0 and bottom <= height and right <= width:
        return motion.inside(Box(top, bottom, left, right, height, width))
    return _extended(motion, own, t).inside(box)


def _extended(motion: Motion, box: Box, t: float) -> Motion:
    """Extend motion in the box to whole slices: no motion outside."""
    outside = {"to_first": 0.0, "to_last": 0.0, "first_weight": 1 - t, "moved": 1.0}
    maps = {name: getattr(motion, name) for name in outside}
    pasted = {
        name: box.paste(field, outside[name])
        for name, field in maps.items()
        if field is not None and field.ndim == 4
    }
    return motion._replace(**pasted, residual=None, error=None)
