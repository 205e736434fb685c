"""Training pairs: aligned, from both views, the same for the same epoch."""

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.super_resolution.pairs import StackCache, draw_pairs
from slicefill.types import Case, Promise


def ramp(isotropic, shape=(20, 1, 12, 15)):
    """Intensity = slice number / 100, so that rows of a patch tell where they come from."""
    return isotropic(np.broadcast_to(np.arange(shape[0]).reshape(-1, 1, 1, 1) / 100, shape))


def promised(**cases):
    return {name: Promise(lambda case=case: case, name) for name, case in cases.items()}


def test_low_resolution_rows_are_every_rth_high_resolution_row(waves, params):
    made = params()
    for low, high in draw_pairs(StackCache(waves(), made), made, epoch=0):
        assert low.shape == (2, 1, 4, 12)
        assert high.shape == (2, 1, 12, 12)
        assert 0 <= high.min() < high.max() <= 1
        for k in range(4):
            assert torch.equal(low[:, :, k], high[:, :, 3 * k])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_are_consecutive_true_slices_never_reversed(isotropic, params, axis):
    case = ramp(isotropic)
    order = [(2, 0, 1), (0, 2, 1), (0, 1, 2)][axis]
    stored = case.image.stored.transpose(order)
    turned = Case(case.image.with_stored(stored, np.eye(4)[:, [*order, 3]]))
    made = params(through_plane="S")
    for _, high in draw_pairs(StackCache(promised(a=turned), made), made, epoch=0):
        steps = high.diff(dim=2)
        torch.testing.assert_close(steps, torch.full_like(steps, 0.01))


def test_both_in_plane_directions_and_their_mirror_images_are_drawn(isotropic, params):
    h, w = np.indices((12, 15))
    case = isotropic(np.broadcast_to(h / 50 + w / 2000, (20, 1, 12, 15)))
    made = params(optimisation={"steps_per_epoch": 30, "patch": (2, 6)})
    slopes = [
        round(float(patch.diff(dim=-1).mean()), 4)
        for _, high in draw_pairs(StackCache(promised(a=case), made), made, epoch=0)
        for patch in high
    ]
    assert set(slopes) == {0.02, -0.02, 0.0005, -0.0005}


def test_small_cases_are_extended_at_their_edge_and_stay_aligned(isotropic, params):
    case = ramp(isotropic, (5, 1, 4, 4))
    made = params()
    for low, high in draw_pairs(StackCache(promised(a=case), made), made, epoch=0):
        rows = torch.tensor([0, 1, 2, 3, *[4] * 8]) / 100
        torch.testing.assert_close(high, rows[:, None].expand(2, 1, 12, 12))
        assert torch.equal(low, high[:, :, ::3])


def test_the_epoch_and_the_seed_fix_what_is_drawn(waves, params):
    def drawn(epoch, **changes):
        made = params(**changes)
        batches = draw_pairs(StackCache(waves(), made), made, epoch)
        return torch.cat([high for _, high in batches])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert not torch.equal(drawn(1), drawn(1, seed=1))


def test_all_cases_are_drawn_from_when_memory_holds_one_at_a_time(isotropic, params):
    reads = []

    def case(name, level):
        def make():
            reads.append(name)
            return isotropic(np.full((20, 1, 12, 15), level))

        return Promise(make, name)

    cases = {str(k): case(str(k), k / 10) for k in range(4)}
    made = params(optimisation={"cache_gb": 2e-5, "steps_per_epoch": 8})  # 14.4 kB each
    stacks = StackCache(cases, made)
    assert stacks.room == 1
    reads.clear()
    levels = [round(float(high.mean()), 3) for _, high in draw_pairs(stacks, made, epoch=0)]
    assert sorted(levels) == [0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert len(reads) <= 4  # each once per epoch


def test_intensities_are_shown_through_the_window_of_the_case(isotropic, params):
    case = isotropic(np.arange(20.0).reshape(-1, 1, 1, 1) + np.zeros((20, 1, 12, 15)))
    made = params(window={"kind": "fixed", "low": 5, "high": 10})
    stack = StackCache(promised(a=case), made)["a"]
    np.testing.assert_allclose(stack[[0, 5, 6, 10, 19], 0, 0, 0], [0, 0, 0.2, 1, 1])


def test_cases_that_cannot_be_learned_from_are_refused(isotropic, waves, params):
    with pytest.raises(ValueError, match="expected isotropic cases to learn from"):
        StackCache({}, params())
    thin = promised(thin=ramp(isotropic, (3, 1, 12, 15)))
    with pytest.raises(ValueError, match=r"thin: expected more than .*factor 3 slices, got 3"):
        StackCache(thin, params())
    with pytest.raises(ValueError, match=r"as many channels each, got \{'case0': 1, 'case1': 2\}"):
        StackCache({**waves(1), **waves(1, first=1, channels=2)}, params())
