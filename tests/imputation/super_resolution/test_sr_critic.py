"""The critic of ESRGAN and its losses."""

import math

import pytest
import torch

from slicefill.imputation.methods.super_resolution.networks import (
    Critic,
    critic_loss,
    generator_loss,
)


def softplus(x):
    """-log(1 - sigmoid(x)); with the sign turned -log(sigmoid(x))."""
    return math.log1p(math.exp(x))


def test_losses_of_two_logits_are_as_computed_by_hand():
    """Real 1 and 3, mean 2; made 0 and -2, mean -1: how far each is from the other's mean."""
    real, made = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    above = (softplus(-2.0) + softplus(-4.0)) / 2  # real - mean made = 2, 4: should be real
    below = (softplus(-2.0) + softplus(-4.0)) / 2  # made - mean real = -2, -4: should not
    assert float(critic_loss(real, made)) == pytest.approx(above + below, rel=1e-6)
    fooled = (softplus(2.0) + softplus(4.0)) / 2
    assert float(generator_loss(real, made)) == pytest.approx(2 * fooled, rel=1e-6)


def test_only_differences_count():
    real, made = torch.randn(4), torch.randn(4)
    for loss in (critic_loss, generator_loss):
        torch.testing.assert_close(loss(real + 3, made + 3), loss(real, made))


def test_the_gradient_raises_made_logits_for_the_generator_and_lowers_them_for_the_critic():
    for loss, sign in ((critic_loss, 1), (generator_loss, -1)):
        made = torch.zeros(3, requires_grad=True)
        loss(torch.zeros(3), made).backward()
        assert (made.grad * sign > 0).all()


@pytest.mark.parametrize("size", [(1, 1), (5, 64), (33, 17), (128, 128)])
def test_slices_of_any_size_get_one_logit_each(size):
    critic = Critic(channels=2, width=4).eval()
    assert critic(torch.rand(3, 2, *size)).shape == (3,)


def test_a_critic_has_ten_convolutions_and_two_linear_layers_the_first_not_normalised():
    layers = list(Critic(1, 4).modules())
    counts = {
        kind: sum(isinstance(layer, kind) for layer in layers)
        for kind in (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)
    }
    assert list(counts.values()) == [10, 9, 2]
    assert isinstance(Critic(4, 4).features[1], torch.nn.LeakyReLU)
