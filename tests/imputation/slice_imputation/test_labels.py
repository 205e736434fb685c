"""Labels carried by motion: ties, ids, and what a field does where motion explains nothing."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from scipy.interpolate import CubicHermiteSpline

from slicefill.imputation.methods.slice_imputation.foreground import far_side
from slicefill.imputation.methods.slice_imputation.label_fields import Field, label_fields
from slicefill.imputation.methods.slice_imputation.labels import (
    LabelRule,
    Labels,
    follow_with_caution,
)
from slicefill.imputation.methods.slice_imputation.motion import Motion
from slicefill.params import CautionParams, EndParams

FIELDS = ("one_hot", "signed_distance")
BETWEEN = slice(1, 2)  # the interval in the middle of four slices
CAUTION = CautionParams(followed=0.25, averaged=5, curvature=0.2, appearance=0.12, nearby=7)


def flat(label, size=8):
    return torch.full((1, size, size), label)


def fill(first, last, t, field, share=None):
    """Labels at t between two slices that do not move."""
    still = torch.zeros(1, 2, *first.shape[1:])
    share = torch.tensor(1 - t) if share is None else torch.full((1, 1, *first.shape[1:]), share)
    return carry(torch.cat([first, last]), Motion(still, still, share), LabelRule(field), t=t)


def carry(ids, motion, rule, *, t=0.5, shown=None, intervals=slice(0, 1)):
    """Labels at t in some intervals of a stack; its synthetic slices are means of its slices."""
    shown = torch.zeros(len(ids), 1, *ids.shape[1:]) if shown is None else shown
    first, last = shown[intervals], shown[far_side(intervals)]
    labels = Labels.around(intervals, ids, (first, last), rule)
    made = (first + last) / 2
    areas = {label: area[intervals, 0] for label, area in rule.areas(ids, [t]).items()}
    return labels.impute(motion, made, t, areas)


def still(size, t=0.5, count=1):
    return Motion(*torch.zeros(2, count, 2, *size), torch.tensor(1 - t))


def round_label(disc, radius, column=24.0):
    return torch.from_numpy(disc(24, column, radius, 48) > 0.5).long()[None]


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("t", "winner"), [(0.2, 5), (0.5, 5), (0.51, 2), (0.8, 2)])
def test_the_nearer_slice_decides_and_at_the_middle_the_first(t, winner, field):
    assert (fill(flat(5), flat(2), t, field) == winner).all()
    assert (fill(flat(2), flat(5), t, field) == 7 - winner).all()  # whichever id is larger


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("share", [0.5 - 1e-7, 0.5, 0.5 + 1e-7])
def test_ties_go_to_the_nearer_slice_whatever_the_rounding(share, field):
    assert (fill(flat(5), flat(2), 0.5, field, share) == 5).all()
    assert (fill(flat(5), flat(2), 0.6, field, share) == 2).all()


@pytest.mark.parametrize("field", FIELDS)
def test_ids_are_names_not_numbers(field, seeded):
    first, last = torch.randint(0, 2, (2, 1, 9, 9), generator=seeded)
    names = torch.tensor([40, 7])
    plain = fill(first, last, 0.3, field)
    assert torch.equal(fill(names[first], names[last], 0.3, field), names[plain])


@pytest.mark.parametrize("field", FIELDS)
def test_no_id_is_made_up_between_two(field):
    assert not (fill(flat(1), flat(3), 0.5, field) == 2).any()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_equal_slices_stay_as_they_are(t, field, seeded):
    ids = torch.randint(0, 4, (1, 9, 9), generator=seeded)
    assert torch.equal(fill(ids, ids, t, field), ids)


def test_one_hot_fields_are_those_of_eq_5():
    first, last = torch.tensor([[[0, 1], [3, 3]]]), torch.tensor([[[0, 0], [1, 3]]])
    fields = label_fields(torch.cat([first, last]), slice(0, 1), "one_hot")
    assert set(fields) == {0, 1, 3}
    for label, field in fields.items():
        assert torch.equal(field.first, (first == label)[:, None].float())
        assert torch.equal(field.last, (last == label)[:, None].float())


@pytest.mark.parametrize(("t", "radius"), [(0.25, 7.5), (0.5, 10), (0.75, 12.5)])
def test_signed_distance_interpolates_what_motion_leaves_unexplained_by_shape(t, radius, disc):
    small, large = round_label(disc, 5), round_label(disc, 15)
    truth = round_label(disc, radius) == 1
    assert dice(fill(small, large, t, "signed_distance") == 1, truth) > 0.88
    assert dice(fill(small, large, t, "one_hot") == 1, truth) < 0.85


@pytest.mark.parametrize("order", [1, -1])
def test_by_shape_an_object_on_one_slice_only_ends_half_way(order, disc):
    shown, gone = round_label(disc, 10), round_label(disc, -9)
    assert not gone.any()
    areas = []
    for t in (0.1, 0.3, 0.45, 0.55, 0.9):
        pair = (shown, gone)[::order]
        areas.append(int(fill(*pair, t if order == 1 else 1 - t, "signed_distance").sum()))
    assert int(shown.sum()) > areas[0] > areas[1] > areas[2] > 0
    assert areas[3:] == [0, 0]


@pytest.mark.parametrize("rule", [*map(LabelRule, FIELDS), LabelRule("signed_distance", CAUTION)])
def test_intervals_of_a_batch_are_imputed_as_each_alone(rule, seeded):
    ids = torch.randint(0, 3, (6, 9, 9), generator=seeded)
    ids[2] = 7  # an id that no other slice has
    shown = torch.rand(6, 1, 9, 9, generator=seeded)
    together = carry(ids, still((9, 9), 0.4, 3), rule, t=0.4, shown=shown, intervals=slice(1, 4))
    for k in range(3):
        alone = carry(
            ids, still((9, 9), 0.4), rule, t=0.4, shown=shown, intervals=slice(1 + k, 2 + k)
        )
        assert torch.equal(together[k : k + 1], alone)


@pytest.mark.parametrize(
    ("named", "rule"),
    [
        ("one_hot", LabelRule("one_hot")),
        ("signed_distance", LabelRule("signed_distance")),
        ("shape_and_motion", LabelRule("signed_distance", CAUTION)),
    ],
)
def test_caution_is_taken_where_shape_and_motion_is_asked_for(named, rule):
    asked = SimpleNamespace(label_field=named, label_caution=CAUTION, label_ends=EndParams())
    assert LabelRule.of(asked) == rule


def with_caution(**changes):
    nothing = {"curvature": 0, "appearance": 0}
    return LabelRule("signed_distance", CAUTION.model_copy(update={**nothing, **changes}))


def test_with_caution_labels_keep_their_area():
    """Blended distances of two discs side by side shrink what lies between."""
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(40), indexing="ij")
    ids = torch.stack([((rows - 12) ** 2 + (columns - at) ** 2 < 36).long() for at in (15, 22)])
    plain = carry(ids, still((24, 40)), LabelRule("signed_distance")).sum()
    kept = carry(ids, still((24, 40)), with_caution()).sum()
    assert plain < 0.95 * ids[0].sum()
    assert abs(kept - ids[0].sum()) <= 4  # pixels above and below the middle are tied


@pytest.mark.parametrize("t", [0.25, 0.5])
def test_with_caution_a_label_ends_where_its_area_runs_out(t, disc):
    """Of 441 pixels 241 are left: at that loss over 241 / 200 of an interval, at most 0.8."""
    ids = torch.cat([round_label(disc, radius) for radius in (11.85, 8.76, -9)])
    before, last = int(ids[0].sum()), int(ids[1].sum())
    rule = replace(with_caution(), ends=EndParams(cut_off=0.7, latest=0.8))
    made = carry(ids, still((48, 48), t), rule, t=t, intervals=slice(1, 2)).sum()
    assert last / (before - last) > 0.8
    assert abs(int(made) - last * (1 - t / 0.8)) <= 8


def test_a_bend_is_what_a_catmull_rom_cubic_adds_to_a_line():
    before, first, last, after = 0.0, 1.0, 4.0, 2.0
    slopes = [(last - before) / 2, (after - first) / 2]
    cubic = CubicHermiteSpline([0, 1], [first, last], slopes)
    bends = torch.tensor([before - 2 * first + last, first - 2 * last + after])
    for t in (0.25, 0.5, 0.75):
        added = Field(torch.tensor(first), torch.tensor(last), *bends).bend(t)
        assert first + t * (last - first) + added == pytest.approx(float(cubic(t)))


def test_outlines_follow_their_bend_across_slices():
    """The left end of a strip goes on evenly; its right end jumps, so a cubic starts late."""
    ids = torch.zeros(4, 8, 144, dtype=torch.long)
    for depth, (left, right) in enumerate(((40, 80), (36, 80), (32, 104), (28, 104))):
        ids[depth, :, left:right] = 1
    flat, cubic = (
        carry(ids, still((8, 144), 0.25), with_caution(curvature=by), t=0.25, intervals=BETWEEN)
        for by in (0, 1)
    )
    assert flat.sum() == cubic.sum()
    assert cubic[0, 4].nonzero().max() < flat[0, 4].nonzero().max()
    assert cubic[0, 4].nonzero().min() < flat[0, 4].nonzero().min()


def test_intensities_decide_where_outlines_leave_it_open():
    """A strip that jumps by 4 columns; the image says where it is between the two."""
    ids, shown = torch.zeros(2, 16, 32, dtype=torch.long), torch.zeros(2, 1, 16, 32)
    for side, left in enumerate((8, 12)):
        ids[side, :, left : left + 10] = shown[side, ..., left : left + 10] = 1
    both = shown[:1], shown[1:]
    rule = with_caution(appearance=0.5)
    labels = Labels.around(slice(0, 1), ids, both, rule)
    areas = {label: area[0] for label, area in rule.areas(ids, [0.5]).items()}
    for left in (9, 10, 11):
        made = torch.zeros(1, 1, 16, 32)
        made[..., left : left + 10] = 1
        found = labels.impute(still((16, 32)), made, 0.5, areas)
        assert torch.equal(found, made[:, 0].long())


def test_of_equal_slices_caution_leaves_the_labels_as_they_are(seeded):
    ids = torch.randint(0, 3, (1, 9, 9), generator=seeded).repeat(4, 1, 1)
    shown = torch.rand(1, 1, 9, 9, generator=seeded).repeat(4, 1, 1, 1)
    rule = LabelRule("signed_distance", CAUTION)
    assert torch.equal(carry(ids, still((9, 9)), rule, shown=shown, intervals=slice(1, 2)), ids[:1])


def test_caution_leaves_a_part_of_the_motion_that_is_believed():
    field = torch.zeros(1, 2, 9, 9)
    believed = Motion(field, field, torch.tensor(0.5), moved=torch.full((1, 1, 9, 9), 0.8))
    led = follow_with_caution(believed, CAUTION)
    assert torch.allclose(led.moved, torch.tensor(0.2))


def test_caution_averages_flows_over_a_square():
    field = torch.zeros(1, 2, 9, 9)
    field[..., 4, 4] = 25.0
    led = follow_with_caution(Motion(field, field, torch.tensor(0.5)), CAUTION)
    assert torch.allclose(led.to_first[..., 2:7, 2:7], torch.tensor(1.0))
    assert not led.to_first[..., :2, :].any()


@pytest.mark.parametrize(("share", "columns"), [(1, 3), (0, 0)])
def test_a_share_of_none_leaves_motion_aside(share, columns):
    """The image moves by 12 columns, and a strip by none; a quarter of the motion is followed."""
    ids = torch.zeros(2, 16, 48, dtype=torch.long)
    ids[:, :, 16:32] = 1
    flow = torch.zeros(1, 2, 16, 48)
    flow[:, 1] = 12.0
    half = torch.tensor(0.5)
    motion = Motion(flow, flow, half, moved=torch.ones(1, 1, 16, 48), t=half)
    found = carry(ids, motion, with_caution().within(share))
    assert (found != ids[0]).sum() == 2 * 16 * columns


def test_areas_are_met_in_part_and_by_all_of_the_share_as_before(disc):
    ids = torch.cat([round_label(disc, radius) for radius in (16, 12, 6, 2)])
    rule = with_caution()
    assert rule.within(1) is rule
    counts = [
        int(carry(ids, still((48, 48)), rule.within(share), intervals=BETWEEN).sum())
        for share in (0, 0.5, 1)
    ]
    assert counts[0] < counts[1] < counts[2]
    assert counts[2] == pytest.approx(rule.areas(ids, [0.5])[1][1, 0], abs=8)
