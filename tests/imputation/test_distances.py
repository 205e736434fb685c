"""Signed distances within slices, and across intervals between them."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist

from slicefill.imputation.distances import across_intervals, bends, signed_distances


def disc(radius):
    rows, columns = np.indices((48, 48))
    return np.hypot(rows - 24, columns - 24) < radius


@pytest.fixture
def discs():
    return np.stack([disc(radius) for radius in (6, 10, 14, 14)])


def test_distances_are_those_of_scipy_to_the_bit():
    masks = np.random.default_rng(0).random((3, 40, 300)) > 0.995
    masks[1] = ~masks[1]
    masks[2, :, 150:] = True
    found = signed_distances(masks)
    for mask, own in zip(masks, found, strict=True):
        plain = distance_transform_edt(mask) - distance_transform_edt(~mask)
        np.testing.assert_array_equal(own, (plain - np.where(mask, 0.5, -0.5)).astype(np.float32))


def test_distances_are_those_to_the_nearest_pixel_on_the_other_side():
    """Half a pixel less: the outline runs between the two."""
    mask = np.random.default_rng(0).random((9, 11)) > 0.6
    found = signed_distances(mask[None])[0]
    for one, other, sign in ((mask, ~mask, 1), (~mask, mask, -1)):
        nearest = cdist(np.argwhere(one), np.argwhere(other)).min(1)
        np.testing.assert_allclose(found[one], sign * (nearest - 0.5), rtol=1e-6)


def test_slices_without_an_outline_are_the_diagonal_away():
    masks = np.stack([np.zeros((3, 4), bool), np.ones((3, 4), bool)])
    assert signed_distances(masks)[:, 0, 0].tolist() == [-5, 5]


@pytest.mark.parametrize("order", [1, -1])
def test_an_object_on_one_slice_only_has_its_opposite_on_the_other(order):
    masks = np.stack([disc(9), np.zeros((48, 48), bool)])[::order]
    distances = signed_distances(masks)
    pair = across_intervals(masks, distances)[::order]
    assert np.array_equal(pair[0][0], distances[::order][0])
    assert np.unique(pair[1]).tolist() == [-distances.max()]


def test_intervals_pair_neighbours(discs):
    distances = signed_distances(discs)
    first, last = across_intervals(discs, distances)
    assert np.array_equal(first, distances[:-1])
    assert np.array_equal(last, distances[1:])


def test_what_grows_evenly_does_not_bend(discs):
    bent = bends(discs, signed_distances(discs))
    assert np.abs(bent[1]).mean() < 0.3  # 6, 10, 14
    assert bent[2].mean() == pytest.approx(-4, abs=0.3)  # 10, 14, 14
    assert not bent[[0, -1]].any()


def test_beside_a_slice_without_an_outline_nothing_bends(discs):
    discs[3] = False
    assert not bends(discs, signed_distances(discs))[2].any()
