"""Labels carried by motion: ties, ids, and what a field does where motion explains nothing."""

import numpy as np
import pytest
import torch

from slicefill.synthesis.labels import label_fields, label_motion, vote
from slicefill.synthesis.model import Motion

FIELDS = ("one_hot", "signed_distance")


def flat(label, size=8):
    return torch.full((1, size, size), label)


def fill(first, last, t, field, share=None):
    """Labels at t between two slices that do not move."""
    still = torch.zeros(1, 2, *first.shape[1:])
    share = torch.tensor(1 - t) if share is None else torch.full((1, 1, *first.shape[1:]), share)
    return vote(Motion(still, still, share), label_fields(first, last, field), t)


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
    fields = label_fields(first, last, "one_hot")
    assert set(fields) == {0, 1, 3}
    for label, (one, other) in fields.items():
        assert torch.equal(one, (first == label)[:, None].float())
        assert torch.equal(other, (last == label)[:, None].float())


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


@pytest.mark.parametrize("field", FIELDS)
def test_pairs_of_a_batch_do_not_see_each_other(field):
    rng = np.random.default_rng(0)
    first, last = (torch.from_numpy(rng.integers(0, 3, (4, 9, 9))) for _ in range(2))
    first[0], last[0] = 7, 7  # an id that no other pair has
    still = torch.zeros(4, 2, 9, 9)
    together = vote(Motion(still, still, torch.tensor(0.6)), label_fields(first, last, field), 0.4)
    for k in range(4):
        assert torch.equal(together[k : k + 1], fill(first[[k]], last[[k]], 0.4, field))


def cautious(first, last, motion, t=0.5):
    fields = label_fields(first, last, "shape_and_motion")
    return vote(label_motion(motion, "shape_and_motion"), fields, t)


def test_a_background_that_yields_keeps_volume():
    """Blended distances of two discs side by side shrink what lies between."""
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(40), indexing="ij")
    first, last = (((rows - 12) ** 2 + (columns - at) ** 2 < 36)[None].long() for at in (15, 22))
    still = Motion(*torch.zeros(2, 1, 2, 24, 40), torch.tensor(0.5))
    plain = vote(still, label_fields(first, last, "signed_distance"), 0.5)
    assert plain.sum() < cautious(first, last, still).sum() <= first.sum()


def test_caution_leaves_a_quarter_of_the_motion_that_is_believed():
    field = torch.zeros(1, 2, 9, 9)
    believed = Motion(field, field, torch.tensor(0.5), moved=torch.full((1, 1, 9, 9), 0.8))
    led = label_motion(believed, "shape_and_motion")
    assert torch.allclose(led.moved, torch.tensor(0.2))
    assert label_motion(believed, "one_hot") is believed


def test_caution_averages_flows_over_five_pixels_a_side():
    field = torch.zeros(1, 2, 9, 9)
    field[..., 4, 4] = 25.0
    led = label_motion(Motion(field, field, torch.tensor(0.5)), "shape_and_motion")
    assert torch.allclose(led.to_first[..., 2:7, 2:7], torch.tensor(1.0))
    assert not led.to_first[..., :2, :].any()
