"""The spread: powers are found that errors were drawn with, and what is seen is what is there."""

import numpy as np
import pytest

from slicefill.imputation.methods.probabilistic.features import describe_images
from slicefill.imputation.methods.probabilistic.spread import (
    AS_EXPECTED,
    Expected,
    find_clues,
    find_spread,
    fit_spread,
)


@pytest.fixture(scope="module")
def expected():
    drawn = np.exp(np.random.default_rng(0).normal(-2.5, 0.8, (3, 8, 60, 60)))
    return Expected(drawn[0].astype(np.float32), drawn[1:].astype(np.float32))


def test_the_powers_that_errors_were_drawn_with_are_found(expected):
    """Where they count; elsewhere errors are of another kind."""
    powers = (0.5, 0.3, -0.2, -1.0)
    rng = np.random.default_rng(1)
    counts = rng.random(expected.deviation.shape) < 0.6
    errors = find_spread(expected, powers) * rng.standard_normal(counts.shape)
    found = fit_spread([(expected, np.where(counts, errors, 5), counts)])
    shrunk = np.array(found[:3]) / found[0] * powers[0]  # small errors count less: all alike
    np.testing.assert_allclose(shrunk, powers[:3], atol=0.03)
    covered = np.abs(errors)[counts] <= 1.645 * find_spread(expected, found)[counts]
    assert covered.mean() == pytest.approx(0.9, abs=1e-3)


def test_without_errors_the_spread_is_what_the_network_expects(expected):
    nothing = np.zeros(expected.deviation.shape, bool)
    for counts in (nothing, ~nothing):
        assert fit_spread([(expected, np.zeros(counts.shape), counts)]) == AS_EXPECTED
    np.testing.assert_allclose(find_spread(expected, AS_EXPECTED), expected.deviation, rtol=1e-5)


def test_clues_are_the_change_over_the_interval_and_the_variation_within_the_slice():
    """Slices of a checkerboard of 0.2 and 0.6, and of 0.9; between them the mean is 0.65."""
    slices = np.full((2, 24, 24), 0.9, np.float32)
    slices[0] = 0.2 + 0.4 * (np.indices((24, 24)).sum(axis=0) % 2)
    change, variation = find_clues(describe_images(slices, [0.5]))[:, :, 12, 12]
    np.testing.assert_allclose(change, (0, 0.5, 0), atol=1e-3)  # mean of 0.7 and 0.3
    np.testing.assert_allclose(variation, (0.2, 0.1, 0), atol=2e-3)
