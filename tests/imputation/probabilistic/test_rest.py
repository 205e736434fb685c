"""Fields that samples add: their variance, their grain, and labels drawn from chances."""

import numpy as np
import pytest

from slicefill.imputation.methods.probabilistic.infer import draw_labels, label_chances
from slicefill.imputation.methods.probabilistic.rest import draw_fields, find_grain


@pytest.fixture(scope="module")
def fields():
    return draw_fields(6, (9, 60, 60), (0.5, 1.0, 0.7), np.random.default_rng(0))


def test_fields_have_unit_variance_everywhere_and_sum_to_nothing(fields):
    np.testing.assert_allclose(fields.sum(axis=0), 0, atol=1e-5)
    assert fields.var() == pytest.approx(1, abs=0.03)
    ends = np.square(fields[:, [0, -1]]).mean()
    assert ends == pytest.approx(1, abs=0.08)


def test_neighbours_correlate_as_the_grain_says_and_opposite_ends_do_not(fields):
    """exp(-1 / (4 g²)) for g = 1: 0.78."""
    rows = np.mean(fields[:, :, 1:] * fields[:, :, :-1])
    assert rows == pytest.approx(np.exp(-1 / 4), abs=0.03)
    assert abs(np.mean(fields[:, 0] * fields[:, -1])) < 0.06


def test_the_grain_of_drawn_fields_is_found_where_they_count(fields):
    counts = np.random.default_rng(1).random(fields.shape[1:]) < 0.7
    found = find_grain([(np.where(counts, field, 99), counts) for field in fields])
    np.testing.assert_allclose(found, (0.5, 1.0, 0.7), atol=0.05)


def test_white_noise_and_nothing_have_no_grain():
    noise = np.random.default_rng(0).standard_normal((8, 40, 40))
    assert max(find_grain([(noise, np.ones(noise.shape, bool))])) < 0.4
    assert max(find_grain([(noise, np.zeros(noise.shape, bool))])) < 0.2


def test_labels_are_drawn_as_often_as_their_chances_say():
    """Softmax of (0, 1, -1): 0.245, 0.665 and 0.090."""
    given = np.empty((2, 1, 1, 90, 90), np.float32)
    given[0], given[1] = 1, -1
    acquired = np.tile(np.array([4, 7]), (2, 90, 45))
    chances = label_chances(given, acquired, (4, 7))
    drawn = np.stack([draw_labels(chances, np.random.default_rng(seed)) for seed in range(30)])
    shares = [np.mean(drawn == index) for index in range(3)]
    np.testing.assert_allclose(shares, (0.245, 0.665, 0.090), atol=0.015)


def test_labels_that_no_slice_beside_shows_and_slight_chances_are_not_drawn():
    given = np.full((2, 2, 1, 2, 2), 1.0, np.float32)
    given[0, ..., 0] = -8  # far outside of label 4
    acquired = np.zeros((3, 2, 2), int)
    acquired[:2], acquired[2, 0, 0] = 4, 7
    chances = label_chances(given, acquired, (4, 7))
    assert not chances[1, 1:2, :, :, 0].any()
    assert not chances[2, 0].any()
    assert (chances[2, 1] > 0).all()
    np.testing.assert_allclose(chances.sum(axis=0), 1, rtol=1e-6)
