"""Losses: by hand, and against torch's distributions."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from slicefill.imputation.methods.probabilistic.losses import (
    divergence,
    error_likelihood,
    label_error,
    pyramid_error,
)
from slicefill.imputation.methods.probabilistic.network import Completion, Latents


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_divergence_is_that_of_the_two_normal_distributions():
    mean, log_scale, shift, log_ratio = (draw(2, 3, 4, seed=n) / 2 for n in range(4))
    scale = log_scale.exp()
    posterior = Normal(mean + shift, scale * log_ratio.exp())
    expected = kl_divergence(posterior, Normal(mean, scale)).sum() / 7
    found = divergence([Latents(mean, log_scale, shift, log_ratio)], 7)
    torch.testing.assert_close(found, expected)


def test_what_the_prior_draws_diverges_by_nothing():
    nothing = torch.zeros(2, 3)
    assert divergence([Latents(draw(2, 3), draw(2, 3), nothing, nothing)], 1) == 0


def test_one_level_is_the_mean_absolute_error(params):
    made, truth = draw(1, 1, 3, 4, 4), draw(1, 1, 3, 4, 4, seed=1)
    weights = params(loss={"levels": 1, "strictness": 1}).loss
    near = torch.rand(1, 1, 3, 4, 4)
    found = pyramid_error(made, truth, near, weights)
    torch.testing.assert_close(found, (made - truth).abs().mean())


def test_a_constant_error_is_of_the_coarsest_level_alone(params):
    """Weights 1, 1.5, 2.25: 0.2 everywhere costs 0.2 · 2.25 / 4.75."""
    truth = torch.zeros(1, 1, 2, 8, 8)
    weights = params(loss={"strictness": 1}).loss
    found = pyramid_error(truth + 0.2, truth, truth, weights)
    assert float(found) == pytest.approx(0.2 * 2.25 / 4.75, rel=1e-5)


def test_half_way_an_error_costs_half_as_much(params):
    truth, weights = torch.zeros(1, 1, 2, 8, 8), params(loss={"levels": 1}).loss
    beside, between = (
        float(pyramid_error(truth + 0.1, truth, torch.full_like(truth, near), weights))
        for near in (0.0, 1.0)
    )
    assert beside == pytest.approx(2 * between)


def test_labels_of_acquired_slices_do_not_count():
    fields = torch.tensor([3.0, -3.0]).view(1, 1, 2, 1, 1)
    label = torch.tensor([1, 1]).view(1, 2, 1, 1)
    between = torch.tensor([1.0, 0.0]).view(1, 1, 2, 1, 1)
    expected = torch.log1p(torch.tensor(-3.0).exp())
    torch.testing.assert_close(label_error(fields, label, between), expected)


def test_the_expected_error_is_best_where_it_is_the_error():
    image, truth = torch.zeros(1, 1, 1, 1, 4), torch.full((1, 1, 1, 1, 4), 0.1)
    between = torch.ones_like(image)
    costs = {
        error: float(
            error_likelihood(
                Completion(image, image, torch.full_like(image, error)), truth, between
            )
        )
        for error in (0.05, 0.1, 0.2)
    }
    assert min(costs, key=costs.get) == 0.1


def test_the_image_does_not_learn_from_the_likelihood_of_the_error():
    image = torch.zeros(1, 1, 1, 1, 4, requires_grad=True)
    error = torch.full_like(image, 0.1).detach().requires_grad_()
    between = torch.ones_like(image)
    error_likelihood(Completion(image, image, error), between.detach(), between).backward()
    assert image.grad is None
    assert error.grad is not None
