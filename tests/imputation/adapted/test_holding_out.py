"""What is held out is in nothing that is learned from, and the other way round."""

import numpy as np
import pytest

from slicefill.imputation.methods.adapted.holding_out import (
    cut_slices,
    held_out_block,
    hold_out_slices,
    hold_out_subjects,
)
from slicefill.imputation.methods.slice_imputation.views import cut_views
from slicefill.types import Promise


@pytest.fixture
def numbered(make_case):
    """Promise a scan of `depth` slices of which slice k shows k, with a label like it."""

    def promise(depth, interval=4.0):
        slices = np.arange(depth, dtype=np.float32)[:, None, None] * np.ones((1, 6, 5))
        return Promise(lambda: make_case(slices, interval), f"of {depth}")

    return promise


def numbers(promise):
    """Which slices of a numbered scan a part has."""
    return promise.make().image.stored[0, 0].tolist()


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("people", [2, 3, 10])
def test_subjects_are_in_one_part_with_all_their_scans(people, fraction, numbered):
    subjects = {f"{who}_{visit}": str(who) for who in range(people) for visit in "ab"}
    divided = hold_out_subjects(dict.fromkeys(subjects, numbered(5)), subjects, fraction, seed=0)
    learned, judging = (
        {subjects[c] for c in part} for part in (divided.training, divided.held_out)
    )
    assert not learned & judging
    assert learned | judging == set(subjects.values())
    assert len(judging) == max(1, round(fraction * people))
    assert len(divided.training) + len(divided.held_out) == len(subjects)
    assert divided.by == "subjects"


def test_who_is_held_out_follows_from_the_seed(numbered):
    subjects = {str(who): str(who) for who in range(20)}
    cases = dict.fromkeys(subjects, numbered(5))
    first, again, other = (
        set(hold_out_subjects(cases, subjects, 0.3, seed).held_out) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.4])
def test_a_block_leaves_an_interval_on_both_sides_and_has_a_slice_to_predict(fraction):
    for depth in range(1, 80):
        block = held_out_block(depth, fraction)
        if block is None:
            assert depth < 7
            continue
        assert block.stop - block.start >= max(3, round(fraction * depth))
        assert min(block.start, depth - block.stop) >= 2
        assert abs(block.start - (depth - block.stop)) <= 1  # in the middle


def test_every_slice_is_in_one_part(numbered):
    divided = hold_out_slices({"a": numbered(20), "b": numbered(9)}, 0.2, "auto")
    assert set(divided.training) == {"a[0:8]", "a[12:20]", "b[0:3]", "b[6:9]"}
    assert set(divided.held_out) == {"a[8:12]", "b[3:6]"}
    assert numbers(divided.held_out["a[8:12]"]) == [8, 9, 10, 11]
    assert numbers(divided.training["a[12:20]"]) == list(range(12, 20))
    marks = [p.fingerprint for p in (*divided.training.values(), *divided.held_out.values())]
    assert len(set(marks)) == 6


def test_no_row_or_column_that_is_learned_from_crosses_a_held_out_block(numbered, params):
    """All views of the parts hold only the intensities of their own slices."""
    divided = hold_out_slices({"a": numbered(12)}, 0.2, "auto")
    window = {"kind": "fixed", "low": 0, "high": 100}
    for name, promise in {**divided.training, **divided.held_out}.items():
        own = np.array(numbers(promise))
        for view in cut_views(promise.make(), "auto", params(window=window)).values():
            shown = 100 * view.slices
            assert own.min() - 1e-4 <= shown.min()
            assert shown.max() <= own.max() + 1e-4, name


def test_a_short_scan_is_learned_from_whole(numbered):
    divided = hold_out_slices({"short": numbered(6), "long": numbered(7)}, 0.2, "auto")
    assert "short" in divided.training
    assert list(divided.held_out) == ["long[2:5]"]
    assert not hold_out_slices({"short": numbered(6)}, 0.2, "auto").held_out


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_that_are_cut_out_stay_where_they_are_in_the_world(axis, case):
    whole = case(shape=(9, 10, 11))
    letter = dict(zip(range(3), _nearest_axes(whole.image.affine), strict=True))[axis]
    part = cut_slices(whole, slice(3, 7), letter)
    index = np.array([1, 2, 3, 1])
    moved = index + np.eye(4, dtype=int)[axis] * 3
    np.testing.assert_allclose(part.image.affine @ index, whole.image.affine @ moved, atol=1e-4)
    for mine, all_of_it in ((part.image, whole.image), (part.label, whole.label)):
        assert mine.stored.shape[axis] == 4
        assert mine.stored[tuple(index[:3])] == all_of_it.stored[tuple(moved[:3])]


def _nearest_axes(affine):
    """Names of the world axes nearest to the array axes."""
    return ["LAS"[int(np.argmax(np.abs(column)))] for column in affine[:3, :3].T]
