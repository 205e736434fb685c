"""Labels by the motion of the image: one field per id is warped and blended, eq. (5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.areas import LabelAreas
from slicefill.imputation.box_means import mean_repeated
from slicefill.imputation.distances import (
    across_intervals,
    bends,
    break_ties,
    signed_distances,
)
from slicefill.imputation.methods.slice_imputation.foreground import far_side
from slicefill.imputation.methods.slice_imputation.label_intensities import (
    Look,
    log_likelihoods,
    look_at_labels,
)
from slicefill.imputation.methods.slice_imputation.motion import Motion, Places
from slicefill.params.imputation import CautionParams, EndParams, ImputationParams
from slicefill.types import Array, Floats


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


SHAPE_AND_MOTION = "shape_and_motion"
"""Signed distances that follow motion with caution."""

_AVERAGED = ("to_first", "to_last", "first_weight", "moved")
_TIE = 1e-4  # added to the share of the nearer slice, so that it decides ties between labels
_GONE = 1.0  # pixels below the background, in part, is a label without area
_ENDS = EndParams()
_NOTHING: Mapping[int, Any] = MappingProxyType({})


@dataclass(frozen=True)
class LabelRule:
    """How labels follow the motion of the image.

    Attributes:
        field: `one_hot` or `signed_distance`, as in `synthesis.label_fields`.
        caution: None: labels move as the image does. Otherwise outlines are smooth and need not
            move as it does: they follow an average of the motion, and that in part; the bend of
            the outlines across slices; and the synthetic intensities, a little. Their areas run
            between those of the acquired slices.
        ends: With caution, where labels end that only one of two slices shows.
        area_share: With caution, how far labels are shifted to their areas, in [0, 1].
    """

    field: str
    caution: CautionParams | None = None
    ends: EndParams = _ENDS
    area_share: float = 1.0

    @classmethod
    def of(cls, params: ImputationParams) -> Self:
        """The rule that `imputation.label_field` names."""
        if params.label_field == SHAPE_AND_MOTION:
            return cls("signed_distance", params.label_caution, params.label_ends)
        return cls(params.label_field)

    def within(self, share: float) -> Self:
        """The same rule, which departs from labels by shape alone by a share in [0, 1]."""
        if self.caution is None or share == 1:
            return self
        followed = {"followed": share * self.caution.followed}
        return replace(self, caution=self.caution.model_copy(update=followed), area_share=share)

    def areas(self, ids: Array | Tensor, positions: Sequence[float]) -> dict[int, Array]:
        """With caution, areas of every id of a stack, `(D, H, W)`, at each t: `(D - 1, N)`."""
        if self.caution is None:
            return {}
        return {**LabelAreas.count(np.asarray(ids)).interpolate(positions, self.ends)}


@dataclass(frozen=True)
class Labels:
    """What is known of the labels on both sides of some intervals.

    Attributes:
        fields: By id.
        looks: What they look like, by id; none where intensities have no say.
        rule: How they follow the image.
    """

    fields: Mapping[int, Field]
    looks: Mapping[int, Look]
    rule: LabelRule

    @classmethod
    def around(
        cls,
        intervals: slice,
        ids: Tensor,
        shown: tuple[Tensor, Tensor],
        rule: LabelRule,
        far: float | None = None,
    ) -> Self:
        """Look at the labels around some intervals.

        Args:
            intervals: Consecutive ones: interval `g` lies between slices `g` and `g + 1`.
            ids: Of a whole stack, `(D, H, W)`, on the CPU.
            shown: Intensities in [0, 1] of the first and of the last slices at the intervals,
                `(B, C, H, W)` each; what is found is put on their device.
            rule: How labels follow the image.
            far: As in `signed_distances`.
        """
        looks, device = {}, shown[0].device
        fields = label_fields(ids, intervals, rule.field, rule.caution, far)
        if rule.caution is not None and rule.caution.appearance > 0:
            own = ids[intervals.start : intervals.stop + 1].to(device)
            seen = torch.cat([shown[0], shown[1][-1:]])
            looks = look_at_labels(own, seen, fields, rule.caution.nearby)
        return cls({label: field.to(device) for label, field in fields.items()}, looks, rule)

    def impute(
        self, motion: Motion, made: Tensor, t: float, areas: Mapping[int, Array] = _NOTHING
    ) -> Tensor:
        """Impute the labels at t, `(B, H, W)`.

        Args:
            motion: Of the image.
            made: Synthetic slices in [0, 1], `(B, C, H, W)`.
            t: In (0, 1).
            areas: Of every label on the B slices, `LabelRule.areas`.
        """
        caution = self.rule.caution
        if caution is None:
            return vote(motion, self.fields, t)
        likely = log_likelihoods(made, self.looks)
        evidence = {label: caution.appearance * value for label, value in likely.items()}
        cautious = follow_with_caution(motion, caution)
        return vote(cautious, self.fields, t, evidence, areas, area_share=self.rule.area_share)


def vote(
    motion: Motion,
    fields: Mapping[int, Field],
    t: float,
    evidence: Mapping[int, Tensor] = _NOTHING,
    areas: Mapping[int, Array] = _NOTHING,
    *,
    area_share: float = 1.0,
) -> Tensor:
    """Warp and blend the fields of all labels and take the highest, `(B, H, W)`.

    A tie goes to the nearer slice (to the first at t = 0.5). No id appears that is not in one
    of the two slices.

    Args:
        motion: Towards both slices.
        fields: By id.
        t: In (0, 1).
        evidence: What speaks for a label besides, `(B, H, W)` in the unit of the fields.
        areas: Pixels that a label has on each of the B slices, as far as the others let it; its
            score is shifted to that. None: it is not.
        area_share: How far it is, in [0, 1].
    """
    nearer = motion.first_weight + (_TIE if t <= 0.5 else -_TIE)
    decisive = motion._replace(first_weight=nearer)
    best = torch.zeros_like(motion.to_first[:, 0], dtype=torch.long)
    highest = torch.full_like(motion.to_first[:, 0], -torch.inf)
    size = best.shape[1:]
    places = Places.of(motion.to_first, size), Places.of(motion.to_last, size)
    for label, field in fields.items():
        still = field.first, field.last
        warped = places[0].sample(field.first), places[1].sample(field.last)
        score = (decisive.mix(warped, still) + field.bend(t))[:, 0]
        score = score + evidence.get(label, 0.0)
        if label in areas:
            score = _raise_to_areas(score, areas[label].tolist(), area_share)
        best = torch.where(score > highest, label, best)
        highest = torch.maximum(score, highest)
    return best


def _raise_to_areas(scores: Tensor, areas: Sequence[int], share: float) -> Tensor:
    """Shift the scores of every slice, `(B, H, W)`, as `areas.raise_to_area` does, or in part."""
    pixels, below = scores[0].numel(), _GONE if share < 1 else torch.inf
    levels = [
        score.kthvalue(pixels - area + 1).values if area > 0 else score.max() + below
        for score, area in zip(scores.flatten(1), areas, strict=True)
    ]
    return scores - share * torch.stack(levels)[:, None, None]


def follow_with_caution(motion: Motion, caution: CautionParams) -> Motion:
    """Average motion over a square around every pixel, and believe in part of it.

    The part matters where the model says how far motion is believed; the rest of a label is
    interpolated by shape.
    """
    maps = {name: field for name, field in motion._asdict().items() if name in _AVERAGED}
    averaged = {
        name: mean_repeated(field, caution.averaged)
        for name, field in maps.items()
        if field is not None and field.ndim == 4
    }
    if motion.moved is not None:
        averaged["moved"] = caution.followed * averaged["moved"]
    return motion._replace(**averaged)


def label_fields(
    ids: Tensor,
    intervals: slice,
    kind: str,
    caution: CautionParams | None = None,
    far: float | None = None,
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

    Returns:
        By id, ascending, `(B, 1, H, W)` for B intervals; ids that none of their slices shows are
        absent.
    """
    start = max(intervals.start - 1, 0)
    around = ids[start : intervals.stop + 2].numpy()
    inside = slice(intervals.start - start, intervals.stop - start)
    fields = {}
    for label in np.unique(around[inside.start : inside.stop + 1]).tolist():
        masks = around == label
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
