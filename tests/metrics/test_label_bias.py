"""Bias of labels: dilated, eroded and shifted masks, rules of interpolation, damages."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from slicefill.imputation.methods.classical import impute_classically
from slicefill.metrics.label_bias import BIASES, error_balance, measure_bias, signed_distances
from slicefill.metrics.overlap import MaskPair
from slicefill.simulation.label_noise import (
    DAMAGES,
    crop_left,
    crop_random,
    exchange,
    fit_shape,
    grow,
    shift,
    shrink,
    warp,
)
from slicefill.types import Stack

SPACING = np.array([2.0, 1.0, 1.0])
ONE = np.ones(3)


def ball(shape=(33, 40, 40), radii=(11, 14, 13)):
    grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
    return np.square(grid / np.reshape(radii, (3, 1, 1, 1))).sum(axis=0) < 1


def pair(prediction, truth, spacing=ONE):
    return MaskPair(prediction, truth, spacing, np.ones(len(truth), bool))


def test_equal_masks_have_no_bias():
    found = measure_bias(pair(ball(), ball()))
    assert found["dice"] == 1
    assert found["volume_bias"] == found["signed_distance"] == 0
    assert np.isnan(found["error_balance"])
    assert set(found) == set(BIASES)


def test_a_shell_more_is_one_millimetre_out_and_one_less_is_in():
    larger, smaller = binary_dilation(ball()), binary_erosion(ball())
    assert signed_distances(pair(larger, ball()))["signed_distance"] == pytest.approx(1, abs=0.1)
    assert signed_distances(pair(smaller, ball()))["signed_distance"] == pytest.approx(-1, abs=0.1)
    assert error_balance(larger, ball()) == 1
    assert error_balance(smaller, ball()) == -1


def test_the_axis_of_an_error_is_told():
    """Two slices more at either end: 4 mm at the surface that faces slices, none elsewhere."""
    truth = np.zeros((24, 20, 20), bool)
    truth[8:16, 4:16, 4:16] = True
    longer = np.zeros_like(truth)
    longer[6:18, 4:16, 4:16] = True
    found = signed_distances(pair(longer, truth, SPACING))
    assert found["signed_distance_slices"] > 2.5
    assert abs(found["signed_distance_rows"]) < 0.8
    assert found["signed_distance_rows"] < found["signed_distance_slices"] / 3


def test_the_border_of_the_volume_is_no_surface():
    """Both masks go on beyond three borders; what is judged is the front, six columns inside."""
    made, truth = np.zeros((2, 9, 31, 31), bool)
    made[:, :, :14] = truth[:, :, :20] = True
    found = signed_distances(pair(made, truth))
    assert found["signed_distance"] == found["signed_distance_columns"] == -6
    assert np.isnan(found["signed_distance_rows"])
    whole = signed_distances(pair(np.ones_like(truth), truth))
    assert np.isnan(list(whole.values())).all()


@pytest.mark.parametrize("spacing", [ONE, SPACING])
@pytest.mark.parametrize("axis", range(3))
def test_a_sheet_one_voxel_thick_faces_its_own_axis(axis, spacing):
    truth = np.zeros((19, 21, 21), bool)
    truth[4:15, 4:17, 4:17] = True
    sheets = [truth & (np.indices(truth.shape)[axis] == place) for place in (9, 11)]
    found = signed_distances(pair(sheets[1], sheets[0], spacing))
    told = [name for name in BIASES if name in found and not np.isnan(found[name])]
    assert told == ["signed_distance", f"signed_distance_{('slices', 'rows', 'columns')[axis]}"]


def test_a_shift_is_biased_in_place_and_not_in_volume():
    moved = shift(ball(), ONE, 3, np.random.default_rng(0))
    found = measure_bias(pair(moved, ball()))
    assert found["volume_bias"] == 0
    assert found["error_balance"] == 0
    assert found["dice"] < 0.95
    there, before = (np.argwhere(mask).mean(axis=0) for mask in (moved, ball()))
    assert there - before == pytest.approx([0, 0, 3])


def test_half_is_cropped():
    rng = np.random.default_rng(0)
    assert crop_left(ball(), ONE, 1, rng).sum() / ball().sum() == pytest.approx(0.5, abs=0.05)
    kept = [crop_random(ball()[16], ONE[1:], 1, rng).sum() for _ in range(200)]
    assert np.mean(kept) / ball()[16].sum() == pytest.approx(0.59, abs=0.05)  # in 2D
    kept = [crop_random(ball(), ONE, 1, rng).sum() for _ in range(60)]
    assert np.mean(kept) / ball().sum() == pytest.approx(0.5, abs=0.08)  # U^(1/2.4), in 3D
    assert crop_left(ball(), ONE, 0, rng).sum() == ball().sum()


@pytest.mark.parametrize(("damage", "sign"), [(shrink, -1), (grow, 1)])
def test_volume_is_biased_by_the_share_that_is_asked(damage, sign):
    """A surface that moves alike everywhere: what differs lies within a voxel of it."""
    label = np.where(ball(), 2, 0).astype(np.uint8)
    label[:16][label[:16] > 0] = 1
    damaged = damage(label, ONE, 0.1, np.random.default_rng(0))
    found = measure_bias(pair(damaged > 0, ball()))
    assert found["volume_bias"] == pytest.approx(sign * 0.1, abs=1e-3)
    assert found["error_balance"] == sign
    skin = binary_dilation(ball()) & ~binary_erosion(ball())
    assert skin[damaged != label].all()
    assert set(np.unique(damaged)) == {0, 1, 2}
    same = (damaged > 0) & (label > 0)
    assert (damaged[same] == label[same]).all()
    assert not damage(np.zeros((4, 5), int), np.ones(2), 0.1, np.random.default_rng(0)).any()


def test_a_warp_is_unbiased_and_grows_with_its_strength():
    rng = np.random.default_rng(0)
    label = np.where(ball(), 2, 0).astype(np.uint8)
    weak, strong = ([warp(label, ONE, s, rng) for _ in range(8)] for s in (1.0, 4.0))
    assert all(set(np.unique(one)) <= {0, 2} for one in strong)
    overlaps = [
        np.mean([measure_bias(pair(one > 0, ball()))["dice"] for one in own])
        for own in (weak, strong)
    ]
    assert overlaps[0] > overlaps[1]
    assert np.mean([(one > 0).sum() for one in weak]) == pytest.approx(ball().sum(), rel=0.05)


@pytest.mark.parametrize("name", DAMAGES)
def test_damages_take_slices_and_volumes_and_leave_the_input(name):
    for label in (np.where(ball(), 3, 0), np.where(ball()[16], 3, 0)):
        before = label.copy()
        damaged = DAMAGES[name](label, np.ones(label.ndim), 1.0, np.random.default_rng(0))
        assert damaged.shape == label.shape
        assert set(np.unique(damaged)) <= {0, 3}
        assert (label == before).all()
        assert (damaged != label).any()
        empty = np.zeros_like(label)
        assert not DAMAGES[name](empty, np.ones(label.ndim), 1.0, np.random.default_rng(0)).any()


def test_an_exchange_gives_every_label_once():
    names = [f"c{n}" for n in range(20)]
    whose = exchange(names, 0.25, np.random.default_rng(0))
    assert sorted(whose.values()) == sorted(names)
    assert sum(one != other for one, other in whose.items()) == 5
    assert whose == exchange(names, 0.25, np.random.default_rng(0))
    assert exchange(["alone"], 1.0, np.random.default_rng(0)) == {"alone": "alone"}
    assert fit_shape(ball(), (20, 50, 40)).shape == (20, 50, 40)
    few = exchange(names[:8], 0.1, np.random.default_rng(0))
    assert sum(one != other for one, other in few.items()) == 2  # one cannot exchange with itself
    assert exchange(names, 0.0, np.random.default_rng(0)) == {name: name for name in names}


def test_rules_of_interpolation_are_biased_as_they_are_known_to_be():
    """Signed distances overlap best and shrink, as the notes measured on three shapes."""
    truth = ball((33, 48, 48), (19, 17, 14))
    kept = truth[::4]
    stack = Stack(kept[:, None].astype(np.float32), np.array([[0.0, 1.0]]), kept.astype(np.uint8))
    judged = np.arange(33) % 4 > 0
    found = {}
    for rule in ("nearest", "shape_based"):
        made = impute_classically(rule, stack, [0.25, 0.5, 0.75])
        whole = truth.copy()
        whole[judged] = made.label.reshape(-1, 48, 48) > 0
        found[rule] = measure_bias(MaskPair(whole, truth, ONE, judged))
    assert found["shape_based"]["dice"] > found["nearest"]["dice"]
    assert -0.08 < found["shape_based"]["volume_bias"] < -0.005
    assert found["shape_based"]["error_balance"] < -0.1
