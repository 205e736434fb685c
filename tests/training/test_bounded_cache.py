"""What the bounded cache holds, and what it forgets first."""

import pytest

from slicefill.training.cache import BoundedCache


@pytest.fixture
def reads():
    return []


@pytest.fixture
def make_cache(reads):
    """A cache of values whose name is their size in bytes."""

    def make(gigabytes):
        return BoundedCache(lambda name: reads.append(name) or name, int, gigabytes)

    return make


def test_value_is_made_once_while_held(make_cache, reads):
    cache = make_cache(1)
    assert [cache[name] for name in ("1", "2", "1", "2")] == ["1", "2", "1", "2"]
    assert reads == ["1", "2"]


def test_least_recently_used_goes_first(make_cache, reads):
    cache = make_cache(25e-9)
    for name in ("10", "9", "10", "8", "10", "9"):  # when 8 comes, 9 has waited longest
        cache[name]
    assert reads == ["10", "9", "8", "9"]


def test_room_follows_the_largest_value_seen(make_cache):
    cache = make_cache(100e-9)
    cache["10"]
    assert cache.room == 10
    cache["30"]
    assert cache.room == 3
    cache["5"]
    assert cache.room == 3


def test_what_is_held_shrinks_when_a_larger_value_comes(make_cache, reads):
    cache = make_cache(40e-9)
    for name in ("10", "11", "12", "20"):  # four of 10 fit, two of 20
        cache[name]
    cache["12"]
    cache["11"]
    assert reads == ["10", "11", "12", "20", "11"]


def test_a_value_larger_than_the_bound_is_held_alone(make_cache, reads):
    cache = make_cache(1e-9)
    for name in ("50", "50", "60", "50"):
        cache[name]
    assert cache.room == 1
    assert reads == ["50", "60", "50"]
