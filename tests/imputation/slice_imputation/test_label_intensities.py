"""What labels look like nearby, and which of them a synthetic intensity suits."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from slicefill.imputation.methods.slice_imputation.foreground import Box
from slicefill.imputation.methods.slice_imputation.label_intensities import (
    log_likelihoods,
    look_at_labels,
)

BOXES = dict.fromkeys((3, 5), Box.whole(12, 20))


@pytest.fixture
def halves():
    """Two equal slices: columns 0-9 are label 3, dark; 10-19 label 5, bright; all is noisy."""
    ids = torch.zeros(2, 12, 20, dtype=torch.long)
    ids[..., :10], ids[..., 10:] = 3, 5
    noise = torch.randn(1, 1, 12, 20, generator=torch.Generator().manual_seed(0))
    return ids, torch.where(ids[:, None] == 3, 0.3, 0.7) + 0.1 * noise


def test_a_look_is_mean_and_variance_of_the_label_within_the_square(halves):
    looks = look_at_labels(*halves, boxes=BOXES, nearby=5)
    assert set(looks) == {3, 5}
    region = halves[1][0, 0, 4:9, 8:10].numpy()  # label 3 around row 6, column 10
    assert looks[3].mean[0, 0, 6, 10] == pytest.approx(region.mean(), abs=1e-5)
    assert looks[3].variance[0, 0, 6, 10] == pytest.approx(region.var() + 0.05**2, abs=1e-5)
    assert looks[3].there[0, 0, 6].tolist() == [column < 12 for column in range(20)]


def test_likelihoods_are_those_of_a_normal_distribution(halves):
    looks = look_at_labels(*halves, boxes=BOXES, nearby=5)
    found = log_likelihoods(torch.full((1, 1, 12, 20), 0.45), looks, BOXES)
    at = (0, 0, 6, 10)
    expected = [
        norm.logpdf(0.45, look.mean[at], np.sqrt(look.variance[at])) for look in looks.values()
    ]
    difference = float(found[3][0, 6, 10] - found[5][0, 6, 10])
    assert difference == pytest.approx(expected[0] - expected[1], abs=1e-4)


def test_the_likeliest_label_has_0_and_none_is_ruled_out(halves):
    looks = look_at_labels(*halves, boxes=BOXES, nearby=5)
    found = torch.stack([*log_likelihoods(torch.full((1, 1, 12, 20), 0.0), looks, BOXES).values()])
    assert torch.equal(found.amax(0), torch.zeros(1, 12, 20))
    assert found.min() == -4


def test_a_label_that_is_not_nearby_is_no_likelier_than_those_that_are(halves):
    found = log_likelihoods(halves[1][:1], look_at_labels(*halves, boxes=BOXES, nearby=5), BOXES)
    assert torch.equal(found[5][..., :8], torch.zeros(1, 12, 8))  # only 3 is there: all the same
