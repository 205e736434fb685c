"""Smooth random fields and the motion made of them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.simulation.random_fields import displaced_grid, sample, smooth_field


def test_a_field_is_what_its_seed_says():
    first, same, other = (smooth_field((20, 20), 4.0, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scale_per_axis_stretches_the_field_along_it(axis):
    scales = [3.0, 3.0, 3.0]
    scales[axis] = 12.0
    field = smooth_field((60, 60, 60), scales, np.random.default_rng(0))
    slopes = [np.abs(np.diff(field, axis=a)).mean() for a in range(3)]
    assert np.argmin(slopes) == axis
    assert slopes[axis] < 0.5 * sum(slopes) / 3


def test_slopes_are_those_of_filtered_white_noise():
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.standard_normal((60, 60, 60)), 4.0, mode="wrap")
    expected = np.diff(noise / noise.std(), axis=0).std()
    # A field at pitch σ correlates as bells of σ: √2 σ in its autocorrelation, as here.
    found = np.mean([np.diff(smooth_field((60, 60, 60), 4.0, rng), axis=0).std() for _ in range(8)])
    assert found == pytest.approx(expected, rel=0.1)


def test_a_still_grid_samples_the_volume_itself():
    volume = np.random.default_rng(0).random((5, 6, 7))
    grid = displaced_grid(volume.shape, 0.0, 3.0, np.random.default_rng(0))
    assert np.allclose(sample(volume, grid, order=1), volume)


def test_outside_is_the_nearest_voxel():
    ramp = np.arange(4.0)
    assert sample(ramp, np.array([[-2.0, 0.25, 9.0]]), order=1).tolist() == [0.0, 0.25, 3.0]


def test_motion_well_below_its_scale_has_no_folds():
    grid = displaced_grid((40, 40, 40), 2.4, 20.0, np.random.default_rng(3))
    assert all(np.diff(grid[axis], axis=axis).min() > 0 for axis in range(3))
