"""Labels by the motion of the image: one field per id is warped and blended, eq. (5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.areas import LabelAreas
from slicefill.imputation.box_means import mean_repeated
from slicefill.imputation.methods.slice_imputation.foreground import Box
from slicefill.imputation.methods.slice_imputation.label_fields import Field, label_fields
from slicefill.imputation.methods.slice_imputation.label_intensities import (
    Look,
    log_likelihoods,
    look_at_labels,
)
from slicefill.imputation.methods.slice_imputation.motion import Motion, Places
from slicefill.params.imputation import CautionParams, EndParams, ImputationParams
from slicefill.types import Array

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

    def areas(
        self, ids: Array | Tensor, positions: Sequence[float], at: Array | None = None
    ) -> dict[int, Array]:
        """With caution, areas of every id of a stack, `(D, H, W)`, at each t: `(D - 1, N)`.

        `at` says where the slices lie, `(D,)`; None: evenly spaced.
        """
        if self.caution is None:
            return {}
        return {**LabelAreas.count(np.asarray(ids)).interpolate(positions, self.ends, at)}


@dataclass(frozen=True)
class Labels:
    """What is known of the labels on both sides of some intervals.

    Attributes:
        fields: By id.
        looks: What they look like, by id; none where intensities have no say.
        rule: How they follow the image.
        boxes: By id, where both are known: elsewhere the id is not. Of other ids everywhere.
    """

    fields: Mapping[int, Field]
    looks: Mapping[int, Look]
    rule: LabelRule
    boxes: Mapping[int, Box]

    @classmethod
    def around(
        cls,
        intervals: slice,
        ids: Tensor,
        shown: tuple[Tensor, Tensor],
        rule: LabelRule,
        far: float | None = None,
        boxes: Mapping[int, Box] = _NOTHING,
    ) -> Self:
        """Look at the labels around some intervals.

        Args:
            intervals: Consecutive ones: interval `g` lies between slices `g` and `g + 1`.
            ids: Of a whole stack, `(D, H, W)`, on the CPU.
            shown: Intensities in [0, 1] of the first and of the last slices at the intervals,
                `(B, C, H, W)` each; what is found is put on their device.
            rule: How labels follow the image.
            far: As in `signed_distances`.
            boxes: By id, in which part of the slices it can be.
        """
        looks, device = {}, shown[0].device
        fields = label_fields(ids, intervals, rule.field, rule.caution, far, boxes)
        everywhere = Box.whole(*ids.shape[1:])
        boxes = {label: boxes.get(label, everywhere) for label in fields}
        if rule.caution is not None and rule.caution.appearance > 0:
            own = ids[intervals.start : intervals.stop + 1].to(device)
            seen = torch.cat([shown[0], shown[1][-1:]])
            looks = look_at_labels(own, seen, boxes, rule.caution.nearby)
        return cls({label: field.to(device) for label, field in fields.items()}, looks, rule, boxes)

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
            return vote(motion, self.fields, self.boxes, t)
        likely = log_likelihoods(made, self.looks, self.boxes)
        evidence = {label: caution.appearance * value for label, value in likely.items()}
        cautious = follow_with_caution(motion, caution)
        share = self.rule.area_share
        return vote(cautious, self.fields, self.boxes, t, evidence, areas, area_share=share)


def vote(
    motion: Motion,
    fields: Mapping[int, Field],
    boxes: Mapping[int, Box],
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
        fields: By id, each in its box.
        boxes: By id.
        t: In (0, 1).
        evidence: What speaks for a label besides, in the unit of the fields and in its box.
        areas: Pixels that a label has on each of the B slices, as far as the others let it; its
            score is shifted to that. None: it is not.
        area_share: How far it is, in [0, 1].
    """
    best = torch.zeros_like(motion.to_first[:, 0], dtype=torch.long)
    highest = torch.full_like(motion.to_first[:, 0], -torch.inf)
    steps = {box: _Step.of(motion, box, t) for box in set(boxes.values())}
    for label, field in fields.items():
        box = boxes[label]
        score = steps[box].blend(field) + evidence.get(label, 0.0)
        if label in areas:
            score = _raise_to_areas(score, areas[label].tolist(), area_share)
        leader = box.cut(highest)
        box.cut(best).masked_fill_(score > leader, label)
        leader.copy_(torch.maximum(score, leader))
    return best


@dataclass(frozen=True)
class _Step:
    """Motion to the slices at t, in a box.

    Attributes:
        motion: Its blending decides ties.
        places: On the first and on the last slices.
        t: In (0, 1).
    """

    motion: Motion
    places: tuple[Places, Places]
    t: float

    @classmethod
    def of(cls, motion: Motion, box: Box, t: float) -> Self:
        own = motion.inside(box)
        size = box.bottom - box.top, box.right - box.left
        places = Places.of(own.to_first, size), Places.of(own.to_last, size)
        nearer = own.first_weight + (_TIE if t <= 0.5 else -_TIE)
        return cls(own._replace(first_weight=nearer), places, t)

    def blend(self, field: Field) -> Tensor:
        """Warp and blend a field, `(B, h, w)`."""
        still = field.first, field.last
        warped = self.places[0].sample(field.first), self.places[1].sample(field.last)
        return (self.motion.mix(warped, still) + field.bend(self.t))[:, 0]


def _raise_to_areas(scores: Tensor, areas: Sequence[int], share: float) -> Tensor:
    """Shift the scores of every slice, `(B, H, W)`, as `areas.raise_to_area` does, or in part."""
    pixels, below = scores[0].numel(), _GONE if share < 1 else torch.inf
    levels = [
        score.kthvalue(max(pixels - area, 0) + 1).values if area > 0 else score.max() + below
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
