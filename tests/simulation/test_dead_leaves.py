"""Pictures of leaves that cover each other, and of bodies in air."""

import numpy as np
import pytest
from scipy.stats import kurtosis

from slicefill.simulation.dead_leaves import dead_leaves

SEEDS = range(12)


def _draw(seed, shape=(120, 90)):
    return dead_leaves(shape, np.random.default_rng(seed))


def test_a_picture_is_what_its_seed_says():
    assert np.array_equal(_draw(1), _draw(1))
    assert not np.allclose(_draw(1), _draw(2))


@pytest.mark.parametrize("shape", [(120, 90), (7, 200), (1, 1)])
def test_a_picture_has_the_size_that_was_asked_for(shape):
    for seed in SEEDS:
        picture = _draw(seed, shape)
        assert picture.shape == shape
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()


def test_pictures_have_edges_and_flat_parts_as_natural_images():
    """Steps from pixel to pixel are heavy-tailed; those of a Gaussian field have kurtosis 0."""
    found = [
        kurtosis(np.diff(_draw(seed), axis=axis), axis=None) for seed in SEEDS for axis in (0, 1)
    ]
    assert np.median(found) > 10


def test_half_of_them_are_bodies_in_air():
    """Air is 0 to the number; leaves of any brightness leave no such ground."""
    air = [np.mean(_draw(seed, (200, 200)) == 0) for seed in range(40)]
    assert 0.25 < np.mean(np.array(air) > 0.05) < 0.75


def test_outlines_have_no_direction_that_they_prefer():
    energy = np.array(
        [
            [np.square(np.diff(_draw(s, (150, 150)), axis=axis)).mean() for axis in (0, 1)]
            for s in range(40)
        ]
    ).mean(0)
    assert energy[0] == pytest.approx(energy[1], rel=0.25)
