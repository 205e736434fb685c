from dataclasses import replace

import numpy as np
import pytest

from slicefill.fusion import find_fusion, fuse
from slicefill.fusion.gaussian import nearness
from slicefill.grids.sampled import Placed, Sampled


def view(labels, place=None, slice_mm=8.0):
    """A view that tells one id per voxel; nan in `place` is not covered."""
    ids = np.array(labels, np.uint8).reshape(1, -1, 1, 1)
    place = np.zeros(ids.shape[1:]) if place is None else np.reshape(place, ids.shape[1:])
    place = place.astype(np.float32)
    shares = (~np.isnan(place))[None].astype(np.float32)
    return Sampled(place, np.arange(5.0), slice_mm, 1.0, ids, shares)


def fused(views, **entry):
    label, weight = fuse(views, find_fusion(entry))
    return label.ravel().tolist(), weight.ravel()


def near(place, slice_mm=8.0, sigma=None, acquired=(0.0, 1, 2, 3, 4)):
    places = np.array(place, np.float32).reshape(-1, 1, 1)
    shares, most = nearness([Placed(places, np.array(acquired), slice_mm, 1.0)], sigma)
    return (shares * most).ravel()


def test_most_views_win_and_the_earliest_of_tied_ones():
    views = [view([1, 1, 1, 0]), view([2, 2, 1, 3]), view([2, 3, 0, 3])]
    label, weight = fused(views, kind="vote")
    assert label == [2, 1, 1, 3]
    assert weight.tolist() == [2, 1, 2, 2]


def test_a_view_that_does_not_cover_a_voxel_does_not_vote():
    views = [view([1, 1], [np.nan, 0]), view([2, 2], [np.nan, 0]), view([3, 2], [0, 0])]
    label, _ = fused(views, kind="vote")
    assert label == [3, 2]
    nowhere, weight = fused([view([7], [np.nan])], kind="vote")
    assert nowhere == [0]
    assert weight.tolist() == [0]


def test_the_weight_between_slices_is_that_of_the_paper():
    mid = near([1.5])[0]
    assert mid == pytest.approx(0.556, abs=5e-4)  # 2 exp(-4² / 2 · 2.5²)
    assert near([1.5], slice_mm=16.0)[0] == pytest.approx(0.412, abs=5e-4)
    assert near([2.0, 2.0])[0] == 1
    np.testing.assert_allclose(near([1.3, 2.7]), near([2.7, 1.3]))  # mirrored
    assert near([np.nan, 4.5])[0] == 0
    assert near([4.5])[0] == pytest.approx(mid / 2)  # beyond the last slice there is one


def test_a_slice_that_a_series_lacks_is_not_near():
    lacking = near([2.0, 1.0, 1.3], acquired=(0.0, 1, 3, 4))
    np.testing.assert_allclose(lacking[0], np.exp(-(8**2) / 2 / 2.5**2), rtol=1e-5)
    np.testing.assert_allclose(lacking[1:], near([1.0, 0.7]), rtol=1e-5)
    gap = replace(view([1], [2.0]), acquired=np.array([0.0, 1, 3, 4]))
    other = view([2], [1.6])
    for kind in ("gaussian", "nearest"):
        assert fused([gap, other], kind=kind)[0] == [2]
        assert fused([gap], kind=kind)[0] == [1]


def test_a_narrow_gaussian_leaves_no_voxel_without_a_label():
    labels, places = [3, 2, 1], [1.5, 2.45, 3.4]
    for sigma in (0.03, 1e-3):
        assert fused([view(labels, places)], kind="gaussian", sigma=sigma)[0] == labels
        near, far = view([1], [1.45]), view([2], [1.5])
        assert fused([far, near], kind="gaussian", sigma=sigma)[0] == [1]


@pytest.mark.parametrize("sigma", [None, 0.125, 0.5])
@pytest.mark.parametrize("slice_mm", [8.0, 2.0, 1.0])  # beside pixels of 1 mm
def test_the_weight_is_the_sum_over_slices_within_reach(sigma, slice_mm):
    places = np.linspace(-0.5, 4.5, 37, dtype=np.float32)
    reach = slice_mm / 2 + 1
    width = reach / 2 if sigma is None else sigma * slice_mm
    apart = slice_mm * np.abs(places[:, None] - np.arange(5))
    brute = (np.exp(-(apart**2) / 2 / width**2) * (apart <= reach)).sum(axis=1)
    np.testing.assert_allclose(near(places, slice_mm, sigma), brute, rtol=1e-4)


def test_a_near_slice_outweighs_two_far_ones_if_the_gaussian_is_narrow():
    views = [view([1], [2.0]), view([2], [1.5]), view([2], [2.5])]
    assert fused(views, kind="gaussian")[0] == [2]  # 1 < 2 · 0.556
    assert fused(views, kind="gaussian", sigma=0.25)[0] == [1]  # 1 > 2 · 2 exp(-2)
    assert fused(views, kind="nearest")[0] == [1]


@pytest.mark.parametrize("kind", ["gaussian", "vote", "nearest", "staple"])
def test_views_that_agree_give_what_they_agree_on_and_one_view_itself(kind):
    rng = np.random.default_rng(0)
    labels, places = rng.integers(0, 4, 60), rng.uniform(0, 4, (3, 60))
    views = [view(labels, place) for place in places]
    assert fused(views, kind=kind)[0] == labels.tolist()
    assert fused(views[:1], kind=kind)[0] == labels.tolist()
    if kind != "staple":
        assert fused(views[::-1], kind=kind)[0] == labels.tolist()


def test_staple_believes_the_views_that_agree():
    truth = np.r_[np.zeros(40, int), np.ones(40, int), np.full(40, 5)]
    wrong = np.random.default_rng(1).permutation(truth)
    assert fused([view(wrong), view(truth), view(truth)], kind="staple")[0] == truth.tolist()


def test_views_must_lie_on_one_grid_and_kinds_exist():
    with pytest.raises(ValueError, match="views on one grid"):
        fuse([view([1, 0]), view([1])], find_fusion({"kind": "vote"}))
    with pytest.raises(ValueError, match=r"fusion\.kind: expected one of gaussian, nearest"):
        find_fusion({"kind": "x"})
