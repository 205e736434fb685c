"""The slice sequences that training draws from, and their bounded cache."""

import numpy as np
import pytest

from slicefill.imputation.methods.slice_imputation.views import ViewCache, cut_views
from slicefill.types import Promise


@pytest.fixture
def slices():
    return np.random.default_rng(0).random((5, 7, 9), np.float32)


def test_through_plane_view_is_the_acquired_slices(slices, make_case, params):
    view = cut_views(make_case(slices), "auto", params())["through_plane"]
    assert view.factor == 4  # N_A = 3 between slices 4 mm apart
    assert np.array_equal(view.slices[:, 0], slices)


def test_in_plane_views_hold_the_rows_and_columns_of_the_volume(slices, make_case, params):
    views = cut_views(make_case(slices, interval=4.0), "auto", params())
    rows, columns = views["rows"].slices, views["columns"].slices
    assert rows.shape == (7, 1, 17, 9)  # one slice per row, 4 · (5 - 1) + 1 lines
    assert columns.shape == (9, 1, 17, 7)
    for k in range(5):
        np.testing.assert_allclose(rows[:, 0, 4 * k], slices[k], atol=1e-6)
        np.testing.assert_allclose(columns[:, 0, 4 * k], slices[k].T, atol=1e-6)
    np.testing.assert_allclose(rows[:, 0, 2], (slices[0] + slices[1]) / 2, atol=1e-6)


def test_channels_stay_apart(params, make_case, slices):
    case = make_case(slices)
    both = np.stack([case.image.stored, 1 - case.image.stored], -1)
    case = type(case)(case.image.with_stored(both), case.label)
    views = cut_views(case, "auto", params())
    for view in views.values():
        np.testing.assert_allclose(view.slices[:, 0], 1 - view.slices[:, 1], atol=1e-6)


@pytest.mark.parametrize(("spacing", "interval"), [(2.0, 2), (4.0, 4), (3.4, 3)])
def test_in_plane_interval_comes_from_the_spacing(spacing, interval, slices, make_case, params):
    views = cut_views(make_case(slices, interval=spacing), "auto", params())
    assert views["rows"].factor == views["columns"].factor == interval


def test_in_plane_interval_can_be_set(slices, make_case, params):
    views = cut_views(make_case(slices), "auto", params(groups={"in_plane_factor": 6}))
    assert views["rows"].factor == 6


def test_only_the_views_asked_for_are_cut(slices, make_case, params):
    def names(interval=4.0, **groups):
        return set(cut_views(make_case(slices, interval), "auto", params(groups=groups)))

    assert names() == {"through_plane", "rows", "columns"}
    assert names(in_plane=0) == {"through_plane"}
    assert names(through_plane=0) == {"rows", "columns"}
    assert names(interval=1.0) == {"through_plane"}  # isotropic: no interval to learn in-plane


def test_a_slice_shows_the_object_where_its_label_does(make_case, params):
    slices = np.zeros((5, 7, 9), np.float32)
    slices[2, 3, 1:3] = 1
    views = cut_views(make_case(slices), "auto", params())
    shows = {name: np.flatnonzero(view.shows_object).tolist() for name, view in views.items()}
    assert shows == {"through_plane": [2], "rows": [3], "columns": [1, 2]}
    occupied = {name: np.flatnonzero(view.occupied).tolist() for name, view in views.items()}
    assert occupied == shows


def test_without_label_it_is_unknown_what_a_slice_shows(slices, make_case, params):
    views = cut_views(make_case(slices, labelled=False), "auto", params())
    assert all(np.isnan(view.shows_object).all() for view in views.values())


class Counter:
    """Promises that count how often each is kept."""

    def __init__(self, cases):
        self.reads = []
        self.promises = {
            name: Promise(lambda name=name, case=case: self.reads.append(name) or case, name)
            for name, case in cases.items()
        }


@pytest.fixture
def counter(make_case):
    rng = np.random.default_rng(0)
    cases = {name: make_case(rng.random((5, 7, 9), np.float32)) for name in "abc"}
    return Counter(cases)


def test_cache_evicts_the_least_recently_used_and_reads_it_again_unchanged(counter, params):
    one = 4 * (5 * 7 * 9 + 17 * 7 * 9)  # bytes: acquired slices, and the in-plane volume
    cache = ViewCache(counter.promises, "auto", params(groups={"cache_gb": 2.5 * one / 1e9}))
    before = cache["a"]["rows"].slices.copy()
    assert cache.room == 2
    for name in "bacab":  # when c comes, b has waited longest
        cache[name]
    assert counter.reads == ["a", "b", "c", "b"]
    assert np.array_equal(cache["a"]["rows"].slices, before)


def test_cache_holds_at_least_one_case(counter, params):
    cache = ViewCache(counter.promises, "auto", params(groups={"cache_gb": 1e-9}))
    for name in "aabba":
        cache[name]
    assert cache.room == 1
    assert counter.reads == ["a", "b", "a"]
    assert cache.channels == 1
