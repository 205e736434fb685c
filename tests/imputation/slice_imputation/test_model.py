"""The synthesis network: start, padding, batches, refinement, agreement."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.motion import Motion, Pair
from slicefill.imputation.methods.slice_imputation.params import NetworkParams, Parts

T = torch.tensor([0.25, 0.5])


def make_model(channels=1, stirred=False, **changes):
    """A model that starts at zero flow, or one whose last layers have been stirred."""
    torch.manual_seed(0)
    size = {"width": 4, "depth": 2, "block": 1, "time_form": "linear_motion"}
    network = NetworkParams(**{name: changes.pop(name, value) for name, value in size.items()})
    model = SynthesisModel(channels, network, Parts(**changes))
    for network in (model.flow_network, model.refinement):
        if stirred and network is not None:
            nn.init.normal_(network.out.weight, std=2)
    return model.eval()


def pair(seeded, size=(16, 16), batch=2, channels=1):
    return torch.rand(2, batch, channels, *size, generator=seeded)


@pytest.mark.parametrize("refinement", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (13, 21)])
@torch.no_grad()
def test_an_untrained_model_is_linear_interpolation(refinement, size, seeded):
    first, last = pair(seeded, size, channels=2)
    flows, motions = make_model(2, refinement=refinement)(Pair(first, last), T)
    assert not flows.forward.any()
    assert not flows.backward.any()
    for t, motion in zip(T, motions, strict=True):
        expected = (1 - t) * first + t * last
        assert torch.allclose(motion.blend(first, last), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(13, 21), (8, 9), (17, 16), (2, 3)])
@torch.no_grad()
def test_any_size_is_padded_at_the_far_edges_and_cropped_never_resized(size, seeded):
    model = make_model(stirred=True, depth=3)
    first, last = pair(seeded, size)
    flows = model.flows(Pair(first, last))
    assert flows.forward.shape == flows.backward.shape == (2, 2, *size)
    missing = (0, -size[1] % 8, 0, -size[0] % 8)
    padded = [F.pad(slices, missing, mode="replicate") for slices in (first, last)]
    expected = model.flows(Pair(*padded)).forward[..., : size[0], : size[1]]
    assert flows.forward.abs().max() > 0.1
    assert torch.allclose(flows.forward, expected, atol=1e-5)


@pytest.mark.parametrize("refinement", [False, True])
@torch.no_grad()
def test_a_batch_gives_what_its_pairs_give_one_by_one(refinement, seeded):
    model = make_model(stirred=True, refinement=refinement)
    first, last = pair(seeded, (13, 21), batch=3)
    together = [motion.blend(first, last) for motion in model(Pair(first, last), T)[1]]
    for k in range(3):
        one = slice(k, k + 1)
        alone = [m.blend(first[one], last[one]) for m in model(Pair(first[one], last[one]), T)[1]]
        for a, b in zip(together, alone, strict=True):
            assert torch.allclose(a[one], b, atol=1e-4)


@torch.no_grad()
def test_flows_do_not_depend_on_how_many_positions_are_asked(seeded):
    model = make_model(stirred=True)
    first, last = pair(seeded)
    many, one = model(Pair(first, last), T)[1], model(Pair(first, last), T[1:])[1]
    assert torch.equal(many[1].to_first, one[0].to_first)


def test_time_form_reaches_the_motion(seeded):
    first, last = pair(seeded)
    straight, printed = (
        make_model(stirred=True, time_form=form)(Pair(first, last), T)[1][0].to_first
        for form in ("linear_motion", "printed")
    )
    assert not torch.allclose(straight, printed)


def test_refinement_can_hide_one_slice(seeded):
    model = make_model(refinement=True)
    with torch.no_grad():
        model.refinement.out.bias[4] = 30.0  # visible in the first slice only
    first, last = pair(seeded)
    motion = model(Pair(first, last), T)[1][0]
    assert torch.allclose(motion.blend(first, last), first, atol=1e-6)


def test_refinement_adds_residual_flows(seeded):
    model = make_model(refinement=True)
    with torch.no_grad():
        model.refinement.out.bias[:4] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    motion = model(Pair(*pair(seeded)), T)[1][0]
    assert torch.allclose(motion.to_first[0, :, 0, 0], torch.tensor([1.0, 2.0]))
    assert torch.allclose(motion.to_last[0, :, 0, 0], torch.tensor([3.0, 4.0]))


def test_agreement_is_one_minus_the_mean_difference_over_channels():
    still = torch.zeros(1, 2, 2, 2)
    first = torch.tensor([0.2, 0.9]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    last = torch.tensor([0.6, 0.9]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    motion = Motion(still, still, torch.tensor(0.5))
    assert torch.allclose(motion.agreement(first, last), torch.tensor(0.8))
    assert torch.equal(motion.agreement(first, first), torch.ones(1, 2, 2))


def test_residual_is_added_to_intensities_within_its_bound(seeded):
    model = make_model(refinement=True, residual=0.2)
    first, last = torch.rand(2, 1, 1, 8, 8)
    untrained = model(Pair(first, last), T)[1][0]
    assert torch.equal(untrained.render(first, last), untrained.blend(first, last))
    with torch.no_grad():
        model.refinement.out.bias[5] = 50.0
    motion = model(Pair(first, last), T)[1][0]
    added = motion.render(first, last) - motion.blend(first, last)
    torch.testing.assert_close(added, torch.full_like(added, 0.2))


def test_motion_without_a_residual_only_moves_intensities(seeded):
    first, last = torch.rand(2, 1, 1, 8, 8)
    motion = make_model(stirred=True, refinement=True)(Pair(first, last), T)[1][0]
    assert motion.residual is None
    assert torch.equal(motion.render(first, last), motion.blend(first, last))


def test_where_motion_is_not_believed_the_slices_are_blended_in_place(seeded):
    model = make_model(refinement=True, mix=True)
    with torch.no_grad():
        model.refinement.out.bias[:2] = 3.0  # moves …
        model.refinement.out.bias[5] = -30.0  # … and is not believed
    first, last = pair(seeded)
    motion = model(Pair(first, last), T)[1][0]
    assert torch.allclose(motion.to_first, torch.tensor(3.0))
    assert torch.allclose(motion.blend(first, last), 0.75 * first + 0.25 * last, atol=1e-5)


def test_the_predicted_error_is_positive_and_starts_small(seeded):
    motion = make_model(refinement=True, error=True)(Pair(*pair(seeded)), T)[1][0]
    assert motion.error.shape == (2, 1, *motion.to_first.shape[2:])
    assert 0 < motion.error.min() <= motion.error.max() < 0.1


def test_without_outer_slices_those_of_the_pair_stand_for_them(seeded):
    model = make_model(refinement=True, context=True, stirred=True)
    first, last = pair(seeded)
    alone = model(Pair(first, last), T)[1][0]
    repeated = model(Pair(first, last, torch.cat([first, last], 1)), T)[1][0]
    other = model(Pair(first, last, torch.cat([last, first], 1)), T)[1][0]
    assert torch.equal(alone.to_first, repeated.to_first)
    assert not torch.allclose(alone.to_first, other.to_first)


def test_without_context_outer_slices_change_nothing(seeded):
    model = make_model(refinement=True, stirred=True)
    first, last = pair(seeded)
    seen = Pair(first, last, torch.rand(1, 2, *first.shape[2:]))
    assert torch.equal(model(seen, T)[1][0].to_first, model(Pair(first, last), T)[1][0].to_first)


@pytest.mark.parametrize("part", ["residual", "mix", "error"])
def test_parts_of_the_refinement_need_it(part):
    with pytest.raises(ValueError, match=f"{part}.*needs refinement: true"):
        Parts(**{part: 0.2 if part == "residual" else True})
