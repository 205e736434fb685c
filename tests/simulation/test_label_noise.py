"""Damaged labels at the border of a patch."""

import numpy as np
import pytest

from slicefill.simulation.label_noise import warp


@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_a_warp_is_unbiased_where_the_label_touches_the_border(sigma):
    label = np.zeros((64, 64))
    label[:, :32] = 1  # it touches three borders
    warped = [warp(label, np.ones(2), sigma, np.random.default_rng(s)).mean() for s in range(200)]
    assert np.mean(warped) == pytest.approx(label.mean(), rel=0.02)
