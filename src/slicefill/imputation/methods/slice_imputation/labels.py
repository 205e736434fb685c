"""Labels by the motion of the image: one field per id is warped and blended, eq. (5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.foreground import far_side
from slicefill.imputation.methods.slice_imputation.label_fields import Field, label_fields
from slicefill.imputation.methods.slice_imputation.label_intensities import (
    Look,
    average_around,
    log_likelihoods,
    look_at_labels,
)
from slicefill.imputation.methods.slice_imputation.motion import Motion
from slicefill.params.imputation import CautionParams, ImputationParams

SHAPE_AND_MOTION = "shape_and_motion"
"""Signed distances that follow motion with caution."""

_AVERAGED = ("to_first", "to_last", "first_weight", "moved")
_TIE = 1e-4  # added to the share of the nearer slice, so that it decides ties between labels


@dataclass(frozen=True)
class LabelRule:
    """How labels follow the motion of the image.

    Attributes:
        field: `one_hot` or `signed_distance`, as in `synthesis.label_fields`.
        caution: None: labels move as the image does. Otherwise outlines are smooth and need not
            move as it does: they follow an average of the motion, and that in part; the bend of
            the outlines across slices; and the synthetic intensities, a little.
    """

    field: str
    caution: CautionParams | None = None

    @classmethod
    def of(cls, params: ImputationParams) -> Self:
        """The rule that `imputation.label_field` names."""
        if params.label_field == SHAPE_AND_MOTION:
            return cls("signed_distance", params.label_caution)
        return cls(params.label_field)


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
        cls, intervals: slice, ids: Tensor, shown: tuple[Tensor, Tensor], rule: LabelRule
    ) -> Self:
        """Look at the labels around some intervals.

        Args:
            intervals: Consecutive ones: interval `g` lies between slices `g` and `g + 1`.
            ids: Of a whole stack, `(D, H, W)`, on the CPU.
            shown: Intensities in [0, 1] of the first and of the last slices at the intervals,
                `(B, C, H, W)` each; what is found is put on their device.
            rule: How labels follow the image.
        """
        looks, device = {}, shown[0].device
        if rule.caution is not None and rule.caution.appearance > 0:
            both = (
                (ids[intervals].to(device), shown[0]),
                (ids[far_side(intervals)].to(device), shown[1]),
            )
            looks = look_at_labels(*both, rule.caution.nearby)
        fields = label_fields(ids, intervals, rule.field, rule.caution)
        return cls({label: field.to(device) for label, field in fields.items()}, looks, rule)

    def impute(self, motion: Motion, made: Tensor, t: float) -> Tensor:
        """Impute the labels at t, `(B, H, W)`.

        Args:
            motion: Of the image.
            made: Synthetic slices in [0, 1], `(B, C, H, W)`.
            t: In (0, 1).
        """
        caution = self.rule.caution
        if caution is None:
            return vote(motion, self.fields, t, {})
        likely = log_likelihoods(made, self.looks)
        evidence = {label: caution.appearance * value for label, value in likely.items()}
        return vote(follow_with_caution(motion, caution), self.fields, t, evidence)


def vote(
    motion: Motion, fields: Mapping[int, Field], t: float, evidence: Mapping[int, Tensor]
) -> Tensor:
    """Warp and blend the fields of all labels and take the highest, `(B, H, W)`.

    A tie goes to the nearer slice (to the first at t = 0.5). No id appears that is not in one
    of the two slices.

    Args:
        motion: Towards both slices.
        fields: By id.
        t: In (0, 1).
        evidence: What speaks for a label besides, `(B, H, W)` in the unit of the fields.
    """
    nearer = motion.first_weight + (_TIE if t <= 0.5 else -_TIE)
    decisive = motion._replace(first_weight=nearer)
    best = torch.zeros_like(motion.to_first[:, 0], dtype=torch.long)
    highest = torch.full_like(motion.to_first[:, 0], -torch.inf)
    for label, field in fields.items():
        score = (decisive.blend(field.first, field.last) + field.bend(t))[:, 0]
        score = score + evidence.get(label, 0.0)
        best = torch.where(score > highest, label, best)
        highest = torch.maximum(score, highest)
    return best


def follow_with_caution(motion: Motion, caution: CautionParams) -> Motion:
    """Average motion over a square around every pixel, and believe in part of it.

    The part matters where the model says how far motion is believed; the rest of a label is
    interpolated by shape.
    """
    maps = {name: field for name, field in motion._asdict().items() if name in _AVERAGED}
    averaged = {
        name: average_around(field, caution.averaged)
        for name, field in maps.items()
        if field is not None and field.ndim == 4
    }
    if motion.moved is not None:
        averaged["moved"] = caution.followed * averaged["moved"]
    return motion._replace(**averaged)
