"""Overlap and surfaces: hand-known, brute force, and DeepMind's surface-distance."""

import numpy as np
import pytest
import surface_distance
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial.distance import cdist
from torch import from_numpy

from slicefill.metrics.overlap import dice, surface_dice, surface_distances, volume_difference

SPACING = np.array([5.0, 1.0, 0.5])


def blob(seed, shape=(14, 24, 28)):
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return smooth > np.quantile(smooth, 0.8)  # several pieces, some of them at the border


def single(*voxel, shape=(5, 6, 7)):
    mask = np.zeros(shape, bool)
    mask[voxel] = True
    return mask


PAIRS = [(blob(1), blob(2)), (blob(3), np.roll(blob(3), 2, axis=1)), (blob(4), blob(4))]


def brute_force(prediction, truth):
    """Every surface voxel against every other, in mm."""
    surfaces = [np.argwhere(mask & ~binary_erosion(mask)) * SPACING for mask in (prediction, truth)]
    distances = cdist(*surfaces)
    return distances.min(axis=1), distances.min(axis=0)


@pytest.mark.parametrize("pair", PAIRS)
def test_distances_agree_with_brute_force(pair):
    there, back = brute_force(*pair)
    found = surface_distances(*pair, SPACING)
    assert found.assd == pytest.approx(np.concatenate([there, back]).mean(), rel=1e-5)
    assert found.mssd == pytest.approx(max(there.max(), back.max()), rel=1e-5)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    assert found.hd95 == pytest.approx(hd95, rel=1e-5)


@pytest.mark.parametrize("pair", PAIRS)
def test_distances_agree_with_the_public_functions_of_monai(pair):
    batch = [from_numpy(mask)[None, None] for mask in pair]
    options = {"include_background": True, "spacing": SPACING.tolist()}
    found = surface_distances(*pair, SPACING)
    assd = compute_average_surface_distance(*batch, symmetric=True, **options)
    assert found.assd == pytest.approx(assd.item(), rel=1e-4)
    hd95 = compute_hausdorff_distance(*batch, percentile=95, **options)
    assert found.hd95 == pytest.approx(hd95.item(), rel=1e-4)


@pytest.mark.parametrize("pair", PAIRS[:2])
@pytest.mark.parametrize("tolerance", [1.0, 2.5])
def test_surface_dice_agrees_with_deepmind(pair, tolerance):
    reference = surface_distance.compute_surface_distances(*pair[::-1], SPACING)
    expected = surface_distance.compute_surface_dice_at_tolerance(reference, tolerance)
    assert surface_dice(*pair, SPACING, tolerance) == pytest.approx(expected, rel=1e-5)


def test_a_moved_ball_is_half_its_shift_away_on_average():
    """The interval between two spheres d apart is d·|cos θ|, of mean d / 2 and maximum d."""
    grid = np.indices((40, 40, 40)) - 20
    ball = (grid**2).sum(axis=0) <= 13**2
    moved = np.roll(ball, 4, axis=2)
    found = surface_distances(moved, ball, np.full(3, 0.5))
    assert found.assd == pytest.approx(4 * 0.5 / 2, rel=0.1)
    reference = surface_distance.compute_surface_distances(ball, moved, [0.5] * 3)
    assert found.mssd == surface_distance.compute_robust_hausdorff(reference, 100) == 2


def test_dice_agrees_with_deepmind():
    for prediction, truth in PAIRS:
        expected = surface_distance.compute_dice_coefficient(truth, prediction)
        assert dice(prediction, truth) == pytest.approx(expected)


def test_two_voxels_are_their_distance_in_mm_apart():
    found = surface_distances(single(1, 2, 2), single(3, 2, 2), SPACING)
    assert found == pytest.approx((10, 10, 10, 10))


def test_the_field_around_the_masks_does_not_matter():
    for prediction, truth in PAIRS:
        wide = [np.pad(mask, 7) for mask in (prediction, truth)]
        assert surface_distances(*wide, SPACING) == surface_distances(prediction, truth, SPACING)
        assert surface_dice(*wide, SPACING) == surface_dice(prediction, truth, SPACING)


def test_identical_masks_are_perfect():
    mask = blob(5)
    assert dice(mask, mask) == 1
    assert volume_difference(mask, mask) == 0
    assert surface_distances(mask, mask, SPACING) == (0, 0, 0, 0)
    assert surface_dice(mask, mask, SPACING) == 1


def test_volume_difference_is_signed():
    half, whole = np.array([True, False]), np.array([True, True])
    assert volume_difference(half, whole) == -0.5
    assert volume_difference(whole, half) == 1


def test_empty_masks_follow_the_policy():
    mask, empty = single(1, 1, 1), np.zeros((5, 6, 7), bool)
    for pair in ((empty, mask), (mask, empty)):
        assert dice(*pair) == 0
        assert surface_dice(*pair, SPACING) == 0
        assert np.isnan(surface_distances(*pair, SPACING)).all()
    assert volume_difference(empty, mask) == -1
    assert np.isnan(volume_difference(mask, empty))
    assert np.isnan(dice(empty, empty))
    assert np.isnan(volume_difference(empty, empty))
    assert np.isnan(surface_distances(empty, empty, SPACING)).all()
    assert np.isnan(surface_dice(empty, empty, SPACING))


@pytest.mark.filterwarnings("error::FutureWarning")
@pytest.mark.parametrize("measure", [surface_dice, surface_distances])
def test_a_batch_of_scores_fills_no_log(measure):
    measure(*PAIRS[0], SPACING)
