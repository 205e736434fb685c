"""Is a scan like the training volumes? By hand, and against SciPy."""

import json
import re

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from slicefill.imputation.uncertainty.domain import (
    check_domain,
    histogram,
    histogram_distance,
    structure_size,
    summarise_domain,
)
from slicefill.params import DomainParams

PARAMS = DomainParams(bins=4, usual=0.9, factors=(2, 8))


def stripes(period, low=0.0, high=1.0):
    """Columns, half of a period low and half high, `(3, 48, 48)`."""
    columns = np.where(np.arange(48) % period < period // 2, low, high)
    return np.broadcast_to(columns, (3, 48, 48)).astype(np.float32)


@pytest.fixture
def domain():
    """What was seen of stripes that are 4 to 8 pixels wide, half dark, half bright."""
    return summarise_domain((stripes(period) for period in (8, 12, 16)), PARAMS)


def test_distance_of_histograms_is_scipys():
    rng = np.random.default_rng(0)
    first, second = rng.random((500,)) ** 2, rng.random((300,))
    bins = 200
    made = histogram_distance(histogram(first, bins), histogram(second, bins))
    assert made == pytest.approx(wasserstein_distance(first, second), abs=1 / bins)


def test_a_histogram_counts_both_ends_and_sums_to_one():
    assert histogram(np.array([0, 0.3, 0.6, 1.0], np.float32), 4).tolist() == [0.25] * 4


def test_structures_twice_as_wide_are_twice_as_large():
    x = np.arange(480)
    fine, coarse = (np.sin(2 * np.pi * x / period)[None, None, :] for period in (24, 48))
    sizes = [structure_size(np.repeat(wave, 480, axis=1)) for wave in (fine, coarse)]
    assert sizes[1] / sizes[0] == pytest.approx(2, rel=0.01)
    # deviation 1/√2; slope 2π/24/√2 along rows and none along columns
    assert sizes[0] == pytest.approx(24 / (2 * np.pi) * np.sqrt(2), rel=0.01)


def test_steps_between_slices_are_no_structure_within_them():
    assert structure_size(np.arange(5.0)[:, None, None] * np.ones((1, 4, 4))) > 1e5


def test_a_scan_like_the_volumes_raises_nothing(domain):
    found = check_domain(stripes(12), 4.0, domain)
    assert found["outside"] == []
    assert found["histogram_distance"] == pytest.approx(0, abs=1e-6)
    assert found["factor"] == 4.0


@pytest.mark.parametrize(
    ("slices", "interval", "said"),
    [
        (stripes(12, low=0.6), 4.0, r"^intensities are 0\.250 of the window .*up to 0\.000\)$"),
        (stripes(2), 4.0, r"^structures are 0\.7 pixels large \(usual: 1\.\d to 2\.\d\)$"),
        (stripes(12), 12.5, r"^slices are 12\.5 pixels apart \(trained: 2 to 8\)$"),
        (stripes(12), 1.2, r"^slices are 1\.2 pixels apart"),
    ],
)
def test_what_is_outside_is_said_with_both_numbers(slices, interval, said, domain):
    (sentence,) = check_domain(slices, interval, domain)["outside"]
    assert re.search(said, sentence), sentence


def test_an_interval_that_rounds_to_a_trained_one_is_none(domain):
    assert check_domain(stripes(12), 8.4, domain)["outside"] == []
    assert check_domain(stripes(12), 1.6, domain)["outside"] == []


def test_a_summary_is_plain_values_that_json_holds(domain):
    assert json.loads(json.dumps(domain)) == domain
    assert domain["histogram"] == [0.5, 0.0, 0.0, 0.5]
    assert domain["factors"] == [2, 8]


def test_the_usual_is_a_share_of_the_volumes():
    """Nine volumes alike and one apart: the one is left out of what is usual."""
    volumes = [stripes(12)] * 9 + [stripes(12, low=0.9)]
    most, all_but = (
        summarise_domain(volumes, PARAMS.model_copy(update={"usual": usual}))["distance"]
        for usual in (0.999, 0.8)
    )
    assert all_but < most / 5


def test_no_volume_is_refused():
    with pytest.raises(ValueError, match="at least one volume"):
        summarise_domain([], PARAMS)
