"""Terms of the synthesis loss, eq. (6) to (12), by hand and by numerical gradients."""

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.slice_imputation.critics import Critics
from slicefill.imputation.methods.slice_imputation.groups import Batch
from slicefill.imputation.methods.slice_imputation.losses import (
    error_likelihood,
    perceptual,
    reconstruction,
    smoothness,
    through_plane_smoothness,
    warping,
)
from slicefill.imputation.methods.slice_imputation.model import Flows, Motion, Pair, SynthesisModel
from slicefill.imputation.methods.slice_imputation.steps import Judged, synthesis_terms, synthesise

STILL = torch.zeros(1, 2, 4, 4)


def flat(*values, size=4):
    """Flat slices `(1, N, 1, size, size)`."""
    return torch.tensor(values).view(1, -1, 1, 1, 1).expand(-1, -1, 1, size, size)


def batch_of(slices):
    return Batch(slices, slices.new_zeros(len(slices), slices.shape[1] - 2))


def uniform(seeded, *shape):
    return torch.rand(shape, generator=seeded, dtype=torch.float64)


def test_reconstruction_is_the_mean_absolute_error():
    assert reconstruction(flat(0.2, 0.8), flat(0.5, 0.7)).item() == pytest.approx(0.2)


def test_perceptual_is_the_mean_squared_difference_of_features():
    def double(slices):
        assert slices.shape == (2, 1, 4, 4)  # features see slices, not stacks
        return 2 * slices

    value = perceptual(flat(0.2, 0.8), flat(0.5, 0.7), double).item()
    assert value == pytest.approx((0.6**2 + 0.2**2) / 2)


def test_warping_adds_both_outer_and_the_mean_of_the_inner_errors():
    still = Motion(STILL, STILL, torch.tensor(0.5))
    value = warping(batch_of(flat(0.0, 0.25, 0.5, 1.0)), Flows(STILL, STILL), [still, still])
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
    assert warping(batch_of(slices), flows, [motion]).item() == 0
    assert warping(batch_of(slices), flows, [motion._replace(to_first=right)]).item() > 0


def test_smoothness_is_zero_for_constant_motion_and_adds_both_flows():
    rows = torch.arange(4.0).view(1, 1, 4, 1).expand(1, 2, 4, 4)
    assert smoothness(Flows(STILL + 3, STILL - 2)).item() == 0
    # a step of 1 along the rows in one flow, of -2 in the other
    assert smoothness(Flows(rows, -2 * rows)).item() == pytest.approx(3)


def test_through_plane_smoothness_is_eq_12_on_every_sagittal_and_coronal_slice(seeded):
    stack = uniform(seeded, 1, 5, 1, 6, 7)
    value = through_plane_smoothness(stack[:, 0], stack[:, 1:-1], stack[:, -1]).item()
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
    value = through_plane_smoothness(first, step, last).item()
    assert value == pytest.approx(2 * 1 / 2 + 1 / 3)


def test_gradients_of_the_terms_are_right(seeded):
    real, synthetic = uniform(seeded, 2, 1, 2, 1, 4, 4).requires_grad_()
    outer = uniform(seeded, 2, 1, 1, 4, 4).requires_grad_()
    flows = (uniform(seeded, 4, 1, 2, 4, 4) * 0.6 + 0.2).requires_grad_()  # away from kinks

    def explain(outer, real, flows):
        slices = torch.cat([outer[0][:, None], real, outer[1][:, None]], 1)
        motion = Motion(flows[2], flows[3], torch.tensor(0.5))
        return warping(batch_of(slices), Flows(flows[0], flows[1]), [motion, motion])

    check = torch.autograd.gradcheck
    assert check(reconstruction, (synthetic, real))
    assert check(lambda a, b: perceptual(a, b, torch.sin), (synthetic, real))
    assert check(lambda f: smoothness(Flows(f[0], f[1])), (flows,))
    assert check(lambda o, s: through_plane_smoothness(o[0], s, o[1]), (outer, synthetic))
    assert check(explain, (outer, real, flows))


def judged(params, features=None, judges=True):
    batch = batch_of(torch.rand(2, 3, 1, 16, 16))
    network = SynthesisModel(1, params.network, params.parts)
    made = synthesise(network, batch)
    critics = Critics(1, 4, params.parts) if judges else None
    return Judged(batch, network, made, critics, features)


def test_only_terms_with_a_weight_are_computed(params):
    lambdas = params().lambdas
    assert set(synthesis_terms(judged(params()), lambdas)) == set(lambdas) - {"per"}
    only = dict.fromkeys(lambdas, 0.0) | {"per": 1.0}
    assert set(synthesis_terms(judged(params(), features=torch.sin), only)) == {"per"}
    without = synthesis_terms(judged(params(), judges=False), params(variant="plain").lambdas)
    assert set(without) == {"rec", "warp", "smooth"}


def test_every_term_of_the_network_pulls_on_it(params):
    everything = judged(params(), features=torch.sin)
    terms = synthesis_terms(everything, dict.fromkeys(params().lambdas, 1.0))
    flows = [everything.made.flows.forward, everything.made.flows.backward]
    for name, term in terms.items():
        pull = torch.autograd.grad(term, flows, retain_graph=True)
        if name != "smooth":  # flat flows are at its minimum
            assert all(gradient.abs().sum() > 0 for gradient in pull), name


def test_the_likeliest_predicted_error_is_the_mean_absolute_one(seeded):
    real = torch.rand(1, 1, 1, 30, 30, generator=seeded)
    synthetic = real + 0.1 * torch.randn(real.shape, generator=seeded)
    expected = (synthetic - real).abs().mean()

    def cost(factor):
        error = torch.full_like(real[:, 0], float(expected) * factor)
        return error_likelihood(
            synthetic, real, [Motion(STILL, STILL, torch.tensor(0.5), error=error)]
        )

    assert cost(1.0) < min(cost(0.9), cost(1.1))


def test_the_slices_do_not_learn_from_the_predicted_error():
    synthetic = torch.full((1, 1, 1, 2, 2), 0.5, requires_grad=True)
    error = torch.full((1, 1, 2, 2), 0.2, requires_grad=True)
    motion = Motion(STILL, STILL, torch.tensor(0.5), error=error)
    error_likelihood(synthetic, torch.zeros_like(synthetic), [motion]).backward()
    assert synthetic.grad is None
    assert error.grad.abs().sum() > 0


def test_cycle_is_what_the_network_makes_of_what_it_made(params, seeded):
    """Half-way to both neighbours, and from these back, each by a call of its own."""
    given = params(variant="refined")
    network = SynthesisModel(1, given.network, given.parts)
    batch = batch_of(torch.rand(2, 3, 1, 16, 16, generator=seeded))
    judged = Judged(batch, network, synthesise(network, batch), None, None)
    (made,) = synthesis_terms(judged, {"cycle": 1.0}).values()

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
        judged = Judged(batch, network, synthesise(network, batch), None, None)
        assert set(synthesis_terms(judged, {"cycle": 1.0})) == terms
    assert "cycle" not in params().lambdas  # nothing changes where it is not asked for
