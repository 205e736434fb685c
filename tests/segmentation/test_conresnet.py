"""ConResNet: parameter counts of the paper, its equations by hand, what its loss does."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slicefill.segmentation.engines import conresnet
from slicefill.segmentation.engines.conresnet.losses import residual_loss, residual_target
from slicefill.segmentation.engines.conresnet.network import (
    ConResNet,
    ContextResidual,
    Shape,
    StandardisedConv,
    change,
)

CUBE, FLAT = (3, 3, 3), (1, 3, 3)
ONE, TWO = (1, 1, 1), (2, 2, 2)
PUBLISHED = Shape(
    channels=4,
    classes=3,
    residuals=3,
    width=32,
    kernels=[CUBE] * 4,
    strides=[ONE, TWO, TWO, TWO],
    residual=True,
    mapping=True,
    attention=True,
    dropout=0.1,
)
SMALL = replace(PUBLISHED, channels=1, residuals=2, width=8)
THICK = replace(SMALL, kernels=[FLAT, FLAT, CUBE, CUBE], strides=[ONE, (1, 2, 2), (1, 2, 2), TWO])
ABLATION = {
    "whole": {},
    "mapping": {"attention": False},
    "attention": {"mapping": False},
    "baseline": {"residual": False},
}


@pytest.fixture
def seeded():
    return torch.Generator().manual_seed(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def count(shape):
    with torch.device("meta"):
        return sum(weight.numel() for weight in ConResNet(shape).parameters())


def test_the_published_size_has_the_parameters_of_the_paper():
    assert count(replace(PUBLISHED, residual=False)) == 18_783_715  # 18.8 M
    # Table VII has 19.3 M: with 256,576 of layers that the public code never calls.
    assert count(PUBLISHED) == 19_018_732
    assert round((19_018_732 + 256_576) / 1e6, 1) == 19.3


@pytest.mark.parametrize(("changes", "billions"), [({"residual": False}, 453.2), ({}, 537.3)])
def test_the_published_size_has_the_multiplications_of_the_paper(changes, billions):
    with torch.device("meta"):  # Table VII: 453.9 and 538.5
        network = ConResNet(replace(PUBLISHED, **changes)).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 4, 80, 160, 160))
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, abs=0.15)


def test_there_are_nine_residual_blocks():
    blocks = [each for each in ConResNet(SMALL).modules() if type(each).__name__ == "Block"]
    assert len(blocks) == 9


def test_the_four_equations_against_numpy(seeded):
    shape = replace(SMALL, width=8)
    carry = nn.Identity()
    module = ContextResidual(8, 8, CUBE, shape, carry).double()
    inner, skip, residual = (
        torch.randn(1, 8, 4, 5, 6, generator=seeded, dtype=torch.float64) for _ in range(3)
    )
    segmentation, context = module(inner, skip, residual)
    features = module.features(inner + skip).detach().numpy()  # (3)
    squashed = sigmoid(features)
    mapped = np.zeros_like(squashed)
    for s in range(1, 4):
        mapped[:, :, s] = abs(squashed[:, :, s] - squashed[:, :, s - 1])  # (4)
    weight = module.map.weight.detach().numpy()[:, :, 0, 0, 0]
    weight = weight - weight.mean(1, keepdims=True)
    weight /= weight.std(1, keepdims=True) * math.sqrt(8)
    mixed = np.einsum("oc,bcdhw->bodhw", weight, mapped) + residual.numpy()
    expected = module.refine(torch.from_numpy(mixed)).detach().numpy()  # (5)
    np.testing.assert_allclose(context.detach(), expected, atol=1e-6)
    np.testing.assert_allclose(
        segmentation.detach(), features * (1 + sigmoid(expected)), atol=1e-6
    )  # (6)


def test_weights_are_standardised_with_variance_one_over_fan_in(seeded):
    layer = StandardisedConv(3, 5, FLAT)
    with torch.no_grad():
        layer.weight.mul_(7).add_(2)
    x = torch.randn(2, 3, 4, 6, 6, generator=seeded)
    weight = layer.weight.detach().double().flatten(1)
    weight = (weight - weight.mean(1, keepdim=True)) / weight.std(1, correction=0, keepdim=True)
    weight = (weight / math.sqrt(27)).view_as(layer.weight).float()
    expected = nn.functional.conv3d(x, weight, padding=(0, 1, 1))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="more than one weight"):
        StandardisedConv(1, 4, ONE)


@pytest.mark.parametrize("shape", [SMALL, THICK, replace(SMALL, width=16)])
def test_sigmoids_are_not_saturated_at_the_start(shape, seeded):
    torch.manual_seed(0)
    network = ConResNet(shape)
    seen = []
    for module in network.decoder:
        for part in (module.features, module.refine):
            part.register_forward_hook(lambda _, __, made: seen.append(made.abs() > 6))
    network(torch.rand(1, 1, 16, 32, 32, generator=seeded))
    assert max(float(each.float().mean()) for each in seen) < 0.05


@pytest.mark.parametrize("changes", ABLATION.values(), ids=ABLATION)
@pytest.mark.parametrize("shape", [SMALL, THICK], ids=["isotropic", "thick"])
def test_shapes_and_gradients(shape, changes, seeded):
    made = replace(shape, **changes)
    network = ConResNet(made)
    x = torch.rand(2, 1, 8, 32, 16, generator=seeded)
    logits, heads = network(x)
    assert logits.shape == (2, 3, 8, 32, 16)
    assert [tuple(head.shape) for head in heads] == [(2, 2, 8, 32, 16)] * (
        3 if made.residual else 0
    )
    sum(each.square().mean() for each in (logits, *heads)).backward()
    without = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert without == []  # DDP would wait for them
    network.eval()
    assert network(x).shape == logits.shape


def test_without_attention_the_segmentation_does_not_see_the_residual_decoder(seeded):
    torch.manual_seed(0)
    network = ConResNet(replace(SMALL, attention=False)).eval()
    plain = ConResNet(replace(SMALL, residual=False)).eval()
    weights = network.state_dict()
    plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
    x = torch.rand(1, 1, 8, 16, 16, generator=seeded)
    assert torch.equal(network(x), plain(x))


def test_a_flip_along_rows_flips_the_change():
    label = torch.randint(3, (1, 1, 5, 4, 4), generator=torch.Generator().manual_seed(1))
    weight = torch.ones(label.shape)
    target, _ = residual_target(label, weight, 3)
    flipped, _ = residual_target(label.flip(3), weight, 3)
    assert torch.equal(flipped, target.flip(3))


def test_the_target_by_hand():
    label = torch.tensor([0, 1, 1, 2, 0]).view(1, 1, 5, 1, 1)
    weight = torch.tensor([1.0, 1, 0.5, 0, 1]).view(1, 1, 5, 1, 1)
    target, known = residual_target(label, weight, 3)
    assert target[0, 0].flatten().tolist() == [0, 1, 0, 1, 0]
    assert target[0, 1].flatten().tolist() == [0, 0, 0, 1, 1]
    assert known.flatten().tolist() == [0, 1, 0.5, 0, 0]
    assert change(torch.ones(1, 1, 4, 2, 2)).sum() == 0


def test_the_loss_of_even_logits_is_the_mean_class_weight_times_log_2():
    target = torch.zeros(2, 2, 4, 5, 5)
    target[:, 0, 1], target[:, 1, 2, 0] = 1, 1
    weight = torch.ones(2, 1, 4, 5, 5)
    rare = [math.log(200 / 51), math.log(200 / 11)]
    expected = [(w * n + 200 - n) / 200 * math.log(2) for w, n in zip(rare, (50, 10), strict=True)]
    heads = [torch.zeros_like(target)] * 3
    loss = residual_loss(heads, target, weight, head_weight=0.5)
    assert loss.item() == pytest.approx((1 + 0.5 + 0.5) * np.mean(expected), rel=1e-5)
    printed = residual_loss(heads[:1], target, weight, head_weight=0.5, background="printed")
    most = [math.log(200 / 150), math.log(200 / 190)]
    expected = [
        (w * n + u * (200 - n)) / 200 * math.log(2)
        for w, u, n in zip(rare, most, (50, 10), strict=True)
    ]
    assert printed.item() == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("value", [-50.0, 50.0])
@pytest.mark.parametrize("fill", [0, 1])
def test_the_loss_is_finite_and_teaches_at_extreme_logits(value, fill):
    target = torch.full((1, 1, 3, 4, 4), float(fill))
    target[:, :, 1] = 1 - fill
    head = torch.full_like(target, value).requires_grad_()
    weight = torch.ones_like(target)
    loss = residual_loss([head], target, weight, head_weight=0.5)
    loss.backward()
    assert torch.isfinite(loss)
    assert head.grad.abs().sum() > 0


def test_labels_of_weight_0_have_no_effect(seeded):
    label = torch.randint(3, (1, 1, 6, 4, 4), generator=seeded)
    weight = torch.ones(label.shape)
    weight[:, :, 2] = 0
    wrong = label.clone()
    wrong[:, :, 2] = (label[:, :, 2] + 1) % 3
    heads = [torch.randn(1, 2, 6, 4, 4, generator=seeded)]
    right, other, weighted = (
        residual_loss(heads, *residual_target(made, known, 3), head_weight=0.5)
        for made, known in ((label, weight), (wrong, weight), (wrong, weight * 0 + 1))
    )
    assert right == other != weighted


@pytest.mark.parametrize("fill", [0, 1])
def test_without_changes_or_without_weight_the_loss_is_a_number(fill):
    target = torch.full((1, 2, 3, 4, 4), float(fill))
    head = torch.zeros_like(target)
    for weight in (torch.ones(1, 1, 3, 4, 4), torch.zeros(1, 1, 3, 4, 4)):
        loss = residual_loss([head], target, weight, head_weight=0.5)
        assert torch.isfinite(loss)
        assert (loss == 0) == (weight.sum() == 0)


def test_a_width_that_groups_cannot_divide_is_refused():
    values = {
        "patch": (8, 8, 8),
        "dropout": 0,
        "residual": True,
        "mapping": True,
        "attention": True,
        "residual_weight": 1,
        "head_weight": 0.5,
        "background_weight": "one",
    }
    conresnet.Params(width=16, **values)
    with pytest.raises(ValueError, match="multiple of 8"):
        conresnet.Params(width=12, **values)
