"""Terms of the synthesis loss, eq. (6) to (12), by hand and by numerical gradients."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.slice_imputation import losses, steps
from slicefill.imputation.methods.slice_imputation.critics import KINDS, Critics
from slicefill.imputation.methods.slice_imputation.losses import (
    TERMS,
    error_likelihood,
    perceptual,
    reconstruction,
    smoothness,
    through_plane_smoothness,
    warping,
)
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.motion import Flows, Motion, Pair
from slicefill.imputation.methods.slice_imputation.steps import synthesis_terms
from slicefill.imputation.methods.slice_imputation.synthesis import GroupBatch, synthesise

STILL = torch.zeros(1, 2, 4, 4)


def flat(*values, size=4):
    """Flat slices `(1, N, 1, size, size)`."""
    return torch.tensor(values).view(1, -1, 1, 1, 1).expand(-1, -1, 1, size, size)


def batch_of(slices):
    return GroupBatch(slices, slices.new_zeros(len(slices), slices.shape[1] - 2))


def made_of(slices, real, **more):
    """What terms look at, of a batch that no network has seen."""
    return SimpleNamespace(slices=slices, real=real, **more)


def explained(slices, flows, motions):
    """A batch, and the motion that is to explain it."""
    batch = batch_of(slices)
    return SimpleNamespace(batch=batch, real=batch.inner, flows=flows, motions=motions)


def stacked(first, synthetic, last):
    """Synthetic slices between two outer ones."""
    return SimpleNamespace(slices=synthetic, batch=SimpleNamespace(first=first, last=last))


def uniform(seeded, *shape):
    return torch.rand(shape, generator=seeded, dtype=torch.float64)


def test_reconstruction_is_the_mean_absolute_error():
    assert reconstruction(made_of(flat(0.2, 0.8), flat(0.5, 0.7))).item() == pytest.approx(0.2)


def test_perceptual_is_the_mean_squared_difference_of_features():
    def double(slices):
        assert slices.shape == (2, 1, 4, 4)  # features see slices, not stacks
        return 2 * slices

    value = perceptual(made_of(flat(0.2, 0.8), flat(0.5, 0.7), features=double)).item()
    assert value == pytest.approx((0.6**2 + 0.2**2) / 2)


def test_warping_adds_both_outer_and_the_mean_of_the_inner_errors():
    still = Motion(STILL, STILL, torch.tensor(0.5))
    value = warping(explained(flat(0.0, 0.25, 0.5, 1.0), Flows(STILL, STILL), [still, still]))
    # outer: |1 - 0| both ways; inner: |0 - .25| + |1 - .25| and |0 - .5| + |1 - .5|
    assert value.item() == pytest.approx(2 + (1 + 1) / 2)


def test_warping_is_zero_for_the_true_motion():
    size, middle = 24, slice(8, 16)
    scene = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    slices = torch.zeros(1, 3, 1, size, size)
    for n in range(3):  # the content moves 2 columns a slice, away from the border
        slices[:, n, :, middle, 8 + 2 * n : 14 + 2 * n] = scene[:, :, middle, 8:14]
    right = torch.tensor([0.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, size, size)
    flows, motion = Flows(2 * right, -2 * right), Motion(-right, right, torch.tensor(0.5))
    assert warping(explained(slices, flows, [motion])).item() == 0
    assert warping(explained(slices, flows, [motion._replace(to_first=right)])).item() > 0


def test_smoothness_is_zero_for_constant_motion_and_adds_both_flows():
    rows = torch.arange(4.0).view(1, 1, 4, 1).expand(1, 2, 4, 4)
    assert smoothness(SimpleNamespace(flows=Flows(STILL + 3, STILL - 2))).item() == 0
    # a step of 1 along the rows in one flow, of -2 in the other
    assert smoothness(SimpleNamespace(flows=Flows(rows, -2 * rows))).item() == pytest.approx(3)


def test_through_plane_smoothness_is_eq_12_on_every_sagittal_and_coronal_slice(seeded):
    stack = uniform(seeded, 1, 5, 1, 6, 7)
    value = through_plane_smoothness(stacked(stack[:, 0], stack[:, 1:-1], stack[:, -1])).item()
    volume = stack[0, :, 0].numpy()
    sagittal = [volume[:, :, column] for column in range(7)]
    coronal = [volume[:, row, :] for row in range(6)]
    expected = sum(
        np.mean([np.square(np.diff(view, axis=axis)).mean() for view in views])
        for views in (sagittal, coronal)
        for axis in (0, 1)
    )
    assert value == pytest.approx(expected)


def test_through_plane_smoothness_by_hand():
    first, last = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    step = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).view(1, 1, 1, 2, 2)
    # across: |Δ|² of the upper row 0 and 1, of the lower 1 and 0: mean 1/2, in both views;
    # along the rows: only the inner slice has a step of 1: mean 1/3; along the columns: none
    value = through_plane_smoothness(stacked(first, step, last)).item()
    assert value == pytest.approx(2 * 1 / 2 + 1 / 3)


def test_gradients_of_the_terms_are_right(seeded):
    real, synthetic = uniform(seeded, 2, 1, 2, 1, 4, 4).requires_grad_()
    outer = uniform(seeded, 2, 1, 1, 4, 4).requires_grad_()
    flows = (uniform(seeded, 4, 1, 2, 4, 4) * 0.6 + 0.2).requires_grad_()  # away from kinks

    def explain(outer, real, flows):
        slices = torch.cat([outer[0][:, None], real, outer[1][:, None]], 1)
        motion = Motion(flows[2], flows[3], torch.tensor(0.5))
        return warping(explained(slices, Flows(flows[0], flows[1]), [motion, motion]))

    check = torch.autograd.gradcheck
    pair = (synthetic, real)
    assert check(lambda a, b: reconstruction(made_of(a, b)), pair)
    assert check(lambda a, b: perceptual(made_of(a, b, features=torch.sin)), pair)
    assert check(lambda f: smoothness(SimpleNamespace(flows=Flows(f[0], f[1]))), (flows,))
    smooth = through_plane_smoothness
    assert check(lambda o, s: smooth(stacked(o[0], s, o[1])), (outer, synthetic))
    assert check(explain, (outer, real, flows))


def synthesised(params, features=None, critics=True):
    """What an untrained network makes of random slices."""
    batch = batch_of(torch.rand(2, 3, 1, 16, 16))
    made = synthesise(SynthesisModel(1, params.network, params.parts), batch)
    judges = Critics(1, 4, params.parts, KINDS) if critics else None
    return replace(made, critics=judges, features=features)


def test_only_terms_with_a_weight_are_computed(params):
    lambdas = params().lambdas
    assert set(synthesis_terms(synthesised(params()), lambdas)) == set(lambdas)
    seen = synthesised(params(), features=torch.sin)
    assert set(synthesis_terms(seen, {"per": 1.0, "rec": 0.0})) == {"per"}
    without = synthesised(params(), critics=False)
    assert set(synthesis_terms(without, params(variant="plain").lambdas)) == {
        "rec",
        "warp",
        "smooth",
    }


def test_every_term_of_the_network_pulls_on_it(params):
    made = synthesised(params(), features=torch.sin)
    terms = synthesis_terms(made, dict.fromkeys(TERMS, 1.0))
    of_other_networks = {"error", "high", "adv_high"}
    of_acquired_slices = {"upsampled", "adv_reformatted"}
    assert set(terms) == set(TERMS) - of_other_networks - of_acquired_slices
    flows = [made.flows.forward, made.flows.backward]
    for name, term in terms.items():
        pull = torch.autograd.grad(term, flows, retain_graph=True, allow_unused=name == "cycle")
        if name not in ("smooth", "cycle"):  # at its minimum; of flows of its own
            assert all(gradient.abs().sum() > 0 for gradient in pull), name


def test_a_function_with_a_name_is_a_term(params, monkeypatch):
    """A loss is one function; nothing else has to know of it."""
    monkeypatch.setattr(losses, "TERMS", dict(TERMS))
    monkeypatch.setattr(steps, "TERMS", losses.TERMS)

    @losses.term("grad")
    def gradient(made):
        error = made.slices - made.real
        return error.diff(dim=3).abs().mean() + error.diff(dim=4).abs().mean()

    losses.require_terms(["rec", "grad"], "weights")
    made = synthesised(params())
    terms = synthesis_terms(made, {"rec": 1.0, "grad": 0.5})
    assert list(terms) == ["rec", "grad"]
    assert torch.equal(terms["grad"], gradient(made))


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ValueError, match=r"loss term rec: there is one in slicefill.*losses"):

        @losses.term("rec")
        def other(made):
            return made.slices.mean()

    assert TERMS["rec"] is reconstruction


@pytest.mark.parametrize(("wrong", "told"), [(torch.zeros(1), r"got \(1,\)"), (0.5, "got float")])
def test_a_term_that_is_no_number_is_named(params, monkeypatch, wrong, told):
    monkeypatch.setattr(steps, "TERMS", {**TERMS, "mine": lambda _: wrong})
    with pytest.raises(TypeError, match=f"loss term mine: .*{told}"):
        synthesis_terms(synthesised(params()), {"mine": 1.0})


def test_an_unknown_term_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"weights\.x: expected .*rec, warp.*got grd"):
        losses.require_terms(["rec", "grd"], "weights.x")


def test_the_likeliest_predicted_error_is_the_mean_absolute_one(seeded):
    real = torch.rand(1, 1, 1, 30, 30, generator=seeded)
    synthetic = real + 0.1 * torch.randn(real.shape, generator=seeded)
    expected = (synthetic - real).abs().mean()

    def cost(factor):
        error = torch.full_like(real[:, 0], float(expected) * factor)
        motion = Motion(STILL, STILL, torch.tensor(0.5), error=error)
        return error_likelihood(made_of(synthetic, real, motions=[motion]))

    assert cost(1.0) < min(cost(0.9), cost(1.1))


def test_the_slices_do_not_learn_from_the_predicted_error():
    synthetic = torch.full((1, 1, 1, 2, 2), 0.5, requires_grad=True)
    error = torch.full((1, 1, 2, 2), 0.2, requires_grad=True)
    motion = Motion(STILL, STILL, torch.tensor(0.5), error=error)
    error_likelihood(made_of(synthetic, torch.zeros_like(synthetic), motions=[motion])).backward()
    assert synthetic.grad is None
    assert error.grad.abs().sum() > 0


def test_cycle_is_what_the_network_makes_of_what_it_made(params, seeded):
    """Half-way to both neighbours, and from these back, each by a call of its own."""
    given = params(variant="refined")
    network = SynthesisModel(1, given.network, given.parts)
    batch = batch_of(torch.rand(2, 3, 1, 16, 16, generator=seeded))
    (made,) = synthesis_terms(synthesise(network, batch), {"cycle": 1.0}).values()

    def half(first, last):
        _, (motion,) = network(Pair(first, last), torch.tensor([0.5]))
        return motion.render(first, last)

    before, real, after = batch.slices.unbind(1)
    expected = (half(half(before, real), half(real, after)) - real).abs().mean()
    torch.testing.assert_close(made, expected)
    gradients = torch.autograd.grad(made, network.flow_network.out.bias)
    assert gradients[0].abs().sum() > 0


def test_cycle_is_of_three_neighbouring_slices_alone(params):
    network = SynthesisModel(1, params().network, params().parts)
    for inner, terms in ((1, {"cycle"}), (2, set())):
        batch = batch_of(torch.rand(1, inner + 2, 1, 16, 16))
        assert set(synthesis_terms(synthesise(network, batch), {"cycle": 1.0})) == terms
    assert "cycle" not in params().lambdas  # nothing changes where it is not asked for
