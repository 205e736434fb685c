"""Which groups of slices an epoch trains on, and how they are cut."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.slice_imputation.groups import (
    Group,
    ViewSummary,
    batch_groups,
    draw_groups,
    load_batch,
    summarise_views,
)
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.types import Promise


def rng(seed=0):
    return np.random.default_rng(seed)


def summary(occupied, interval=1):
    return ViewSummary(np.asarray(occupied, bool), interval)


def case_of(length=12, interval=4):
    """A case all of whose slices show something."""
    return {
        "through_plane": summary([True] * length),
        "rows": summary([True] * 20, interval),
        "columns": summary([True] * 30, interval),
    }


def draw(params, cases, limit=None, seed=0, **groups):
    return draw_groups(cases, params(groups=groups).groups, limit, rng(seed))


def test_groups_fit_into_their_view_and_have_the_n_asked_for(params):
    groups = draw(params, {"a": case_of()}, inner=(1, 3))
    for group in groups:
        assert (
            group.start + group.inner + 2
            <= {"through_plane": 12, "rows": 20, "columns": 30}[group.view]
        )
    inner = {view: {g.inner for g in groups if g.view == view} for view in case_of()}
    assert inner == {"through_plane": {1, 2, 3}, "rows": {3}, "columns": {3}}  # 3 = interval - 1


def test_n_of_each_case_is_that_of_its_grid(params):
    """N_A is 3 at a factor of 4; a case of cubic voxels has nothing to learn from across slices."""
    fine = {"through_plane": summary([True] * 12, 1)}
    thick = {"through_plane": summary([True] * 12, 4)}
    groups = draw(params, {"fine": fine, "thick": thick}, inner="N_A")
    assert {(group.case, group.inner) for group in groups} == {("thick", 3)}
    assert {group.start for group in groups} == set(range(12 - 4))


def test_without_limit_every_start_is_drawn_once(params):
    groups = draw(params, {"a": case_of()}, inner=(2, 2))
    starts = sorted(g.start for g in groups if g.view == "through_plane")
    assert starts == list(range(12 - 3))
    assert len(groups) == len(set(groups)) == 9 + (20 - 4) + (30 - 4)


def test_random_n_never_loses_the_last_start(params):
    groups = draw(params, {"a": case_of()}, inner=(1, 3))
    assert {g.start for g in groups if g.view == "through_plane"} == set(range(12 - 2))


def test_cases_too_short_for_the_smallest_n_give_no_group(params):
    short = {"a": {"through_plane": summary([True] * 3)}}
    assert draw(params, short, inner=(2, 3)) == []
    assert len(draw(params, short, inner=(1, 3))) == 1


def test_background_groups_are_thinned_to_the_share_kept(params):
    half = {"a": {"through_plane": summary([True] * 1000 + [False] * 2000)}}
    touching = 1000  # starts 0 … 999 show something

    def count(fraction):
        return len(draw(params, half, inner=(1, 1), background_keep=fraction))

    assert count(0) == touching
    assert count(1) == 2998
    assert count(0.25) - touching == pytest.approx(0.25 * 1998, abs=4 * 19)  # 4 sigma


@pytest.mark.parametrize(("across", "within", "fraction"), [(1, 1, 0.5), (3, 1, 0.75), (0, 1, 0)])
def test_with_a_limit_the_kinds_share_it_by_weight(across, within, fraction, params):
    cases = {"a": case_of(length=60), "b": case_of(length=60)}
    groups = draw(params, cases, limit=40, through_plane=across, in_plane=within)
    assert len(groups) == len(set(groups)) == 40
    assert sum(g.view == "through_plane" for g in groups) == 40 * fraction


def test_a_limit_above_what_there_is_takes_everything(params):
    assert len(draw(params, {"a": {"through_plane": summary([True] * 9)}}, limit=500)) == 7


def test_an_epoch_is_fixed_by_its_seed_and_epochs_differ(params):
    cases = {"a": case_of(), "b": case_of()}
    assert draw(params, cases, 10, seed=(5, 1)) == draw(params, cases, 10, seed=(5, 1))
    assert draw(params, cases, 10, seed=(5, 1)) != draw(params, cases, 10, seed=(5, 2))


@pytest.mark.parametrize("room", [1, 2, 3, 100])
def test_batches_hold_every_group_once_and_one_n_each(room, params):
    groups = draw(params, {name: case_of() for name in "abcdefg"}, inner=(1, 3))
    batches = batch_groups(groups, 4, room, rng())
    flat = [group for batch in batches for group in batch]
    assert len(flat) == len(groups)
    assert set(flat) == set(groups)
    assert all(len({group.inner for group in batch}) == 1 for batch in batches)
    assert all(1 <= len(batch) <= 4 for batch in batches)


@pytest.mark.parametrize("room", [1, 2, 3])
def test_cases_are_visited_in_blocks_that_fit_into_the_cache(room, params):
    groups = draw(params, {name: case_of() for name in "abcdefg"})
    seen = [{group.case for group in batch} for batch in batch_groups(groups, 4, room, rng())]
    blocks = [seen[0]]
    for cases in seen[1:]:
        if blocks[-1] & cases or len(blocks[-1] | cases) <= room:
            blocks[-1] |= cases
        else:
            blocks.append(set(cases))
    assert all(len(block) <= room for block in blocks)
    assert sum(len(block) for block in blocks) == 7  # no case is come back to


def test_a_bounded_cache_reads_each_case_once_an_epoch(make_case, params):
    reads = []
    volume = np.ones((6, 16, 16), np.float32)
    cases = {
        name: Promise(lambda name=name: reads.append(name) or make_case(volume), name)
        for name in "abcdef"
    }
    held = params(groups={"cache_gb": 2.5 * 4 * (6 + 21) * 256 / 1e9, "inner": (1, 2)})
    cache = ViewCache(cases, "auto", held)
    summaries = summarise_views(cache, sorted(cases))
    assert cache.room == 2
    reads.clear()
    for members in batch_groups(draw_groups(summaries, held.groups, None, rng()), 4, 2, rng()):
        load_batch(members, cache, held.groups, rng())
    assert len(reads) <= 6


# --- cutting: slice s of this case holds s/10 + row/1000 + column/100 000 ---------------


@pytest.fixture
def numbered(make_case, params):
    """A cache with one case of 8 slices of 20 x 24 that encode where a pixel is."""
    s, row, column = np.indices((8, 20, 24))
    coded = (s / 10 + row / 1000 + column / 100000).astype(np.float32)
    case = make_case(coded)
    label = np.zeros(case.image.stored.shape, np.uint8)
    label[..., 3] = 1  # only slice 3 shows the object
    case = type(case)(case.image, case.image.with_stored(label))
    return ViewCache({"a": Promise(lambda: case, "a")}, "auto", params())


def cut(cache, params, start=2, inner=2, seed=0, **groups):
    plain = {"reverse": False, "flip": False, "crop": (8, 12)} | groups
    group = Group("a", "through_plane", start, inner)
    return load_batch([group], cache, params(groups=plain).groups, rng(seed))


def test_a_group_is_consecutive_slices_cropped_at_one_place(numbered, params):
    batch = cut(numbered, params)
    assert batch.slices.shape == (1, 4, 1, 8, 12)
    stack = batch.slices[0, :, 0]
    assert torch.allclose(stack.diff(dim=0), torch.tensor(0.1), atol=1e-6)
    assert torch.allclose(stack.diff(dim=1), torch.tensor(0.001), atol=1e-6)
    assert torch.allclose(stack.diff(dim=2), torch.tensor(0.00001), atol=1e-6)
    assert stack[0].min() >= 0.2 - 1e-6


def test_outer_slices_are_inputs_and_inner_ones_targets(numbered, params):
    batch = cut(numbered, params)
    assert torch.equal(batch.first, batch.slices[:, 0])
    assert torch.equal(batch.inner, batch.slices[:, 1:3])
    assert torch.equal(batch.last, batch.slices[:, 3])
    assert torch.allclose(batch.positions, torch.tensor([1 / 3, 2 / 3]))
    assert batch.shows_object.tolist() == [[1, 0]]  # slices 3 and 4


def test_reversal_reverses_slices_and_object_together(numbered, params):
    orders = set()
    for seed in range(20):
        batch = cut(numbered, params, seed=seed, reverse=True)
        steps = batch.slices[0, :, 0, 0, 0].diff()
        assert (steps > 0).all() or (steps < 0).all()
        expected = [[1, 0]] if steps[0] > 0 else [[0, 1]]
        assert batch.shows_object.tolist() == expected
        orders.add(bool(steps[0] > 0))
    assert orders == {True, False}


def test_flips_turn_all_slices_of_a_group_alike(numbered, params):
    seen = set()
    for seed in range(30):
        stack = cut(numbered, params, seed=seed, flip=True).slices[0, :, 0]
        assert torch.allclose(stack.diff(dim=0), torch.tensor(0.1), atol=1e-6)
        down, right = stack.diff(dim=1).sign().unique(), stack.diff(dim=2).sign().unique()
        assert len(down) == len(right) == 1
        seen.add((int(down), int(right)))
    assert seen == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_crops_reach_every_corner(numbered, params):
    corners = [cut(numbered, params, seed=s).first[0, 0, 0, 0].item() - 0.2 for s in range(300)]
    rows = {round(corner * 1000) for corner in corners}
    assert rows == set(range(20 - 8 + 1))


def test_slices_smaller_than_the_crop_are_padded_at_the_edges(numbered, params):
    stack = cut(numbered, params, crop=(23, 30)).slices[0, :, 0]
    assert stack.shape == (4, 23, 30)
    inside = stack[:, 1:-2, 3:-3]  # 20 x 24
    assert torch.allclose(inside[0, 0, 0], torch.tensor(0.2))
    assert all(torch.equal(stack[:, r], stack[:, n]) for r, n in ((0, 1), (-1, -3), (-2, -3)))
    assert torch.equal(stack[..., 0], stack[..., 3])


def test_batches_of_an_epoch_are_fixed_by_the_seed(numbered, params):
    one, again, other = (
        cut(numbered, params, seed=seed, flip=True, reverse=True).slices for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_in_plane_groups_stay_in_their_view(numbered, params):
    group = Group("a", "rows", 5, 3)
    plain = params(groups={"reverse": False, "flip": False, "crop": (16, 16)}).groups
    stack = load_batch([group], numbered, plain, rng()).slices[0, :, 0]
    assert stack.shape == (5, 16, 16)
    steps = [(b - a).mean().item() for a, b in pairwise(stack)]
    assert steps == pytest.approx([0.001] * 4, abs=1e-6)  # from row to row
