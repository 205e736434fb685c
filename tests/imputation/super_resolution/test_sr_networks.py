"""Generators: more rows, as many pixels, the published parts."""

import pytest
import torch

from slicefill.imputation.methods.super_resolution.networks import (
    ChannelAttention,
    DenseBlock,
    Residual,
    build_generator,
    shuffle_rows,
)
from slicefill.imputation.methods.super_resolution.params import NetworkParams

KINDS = ["edsr", "rcan", "esrgan"]


def build(kind, channels=1, factor=2, **size):
    sizes = {"width": 8, "blocks": 2, "groups": 2, "residual_scale": 0.2} | size
    return build_generator(NetworkParams(kind=kind, **sizes), channels, factor)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_rows_are_shuffled_as_by_pixel_shuffle(factor):
    """pixel_shuffle of features that are the same for every column offset repeats columns."""
    features = torch.randn(2, 5 * factor, 3, 4)
    both = torch.pixel_shuffle(features.repeat_interleave(factor, dim=1), factor)
    assert torch.equal(shuffle_rows(features, factor), both[..., ::factor])


def test_a_row_is_followed_by_those_made_of_it():
    features = torch.tensor([[0, 10], [1, 11], [2, 12]]).view(1, 3, 2, 1)  # (R, D)
    assert shuffle_rows(features, 3).flatten().tolist() == [0, 1, 2, 10, 11, 12]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("factor", "depth", "pixels"), [(2, 7, 9), (3, 1, 5), (4, 6, 1), (5, 3, 8)]
)
def test_only_rows_are_multiplied_whatever_the_size(kind, factor, depth, pixels):
    network = build(kind, channels=2, factor=factor)
    assert network(torch.rand(3, 2, depth, pixels)).shape == (3, 2, depth * factor, pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_takes_part(kind):
    network = build(kind, factor=3)
    network(torch.rand(2, 1, 5, 6)).sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("kind", "size", "convolutions"),
    [
        ("edsr", {"blocks": 16}, 1 + 2 * 16 + 1 + 1 + 1),
        ("rcan", {"blocks": 3, "groups": 2}, 1 + 2 * (3 * 4 + 1) + 1 + 1 + 1),
        ("esrgan", {"blocks": 4}, 1 + 4 * 15 + 1 + 1 + 1 + 1),
    ],
)
def test_blocks_and_groups_are_as_many_as_published_code_has(kind, size, convolutions):
    """Head, body and its last one, rows, (refinement,) image; attention has two 1 x 1 each."""
    network = build(kind, **size)
    found = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(found) == convolutions


def test_a_published_edsr_has_as_many_parameters_as_counted_by_hand():
    """3 x 3 convolutions of 64 channels with biases, one channel in and out, x 4 along rows."""
    inner = 64 * 64 * 9 + 64
    expected = (64 * 9 + 64) + 33 * inner + (64 * 256 * 9 + 256) + (64 * 9 + 1)
    network = build("edsr", factor=4, width=64, blocks=16)
    assert sum(p.numel() for p in network.parameters()) == expected


def test_residuals_are_scaled():
    x = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(Residual(torch.nn.Identity(), 0.25)(x), 1.25 * x)


def test_attention_weighs_whole_channels_between_0_and_1():
    x = torch.rand(2, 8, 5, 6) + 0.5
    weights = ChannelAttention(8)(x) / x
    torch.testing.assert_close(weights, weights[..., :1, :1].expand_as(weights))
    assert 0 < weights.min() < weights.max() < 1


def test_dense_blocks_start_small():
    x = torch.randn(1, 8, 6, 6)
    assert DenseBlock(8)(x).abs().mean() < 0.05 * x.abs().mean()


def test_under_bf16_intensities_keep_more_than_8_bits():
    network, shown = build("edsr"), torch.rand(1, 1, 8, 40)
    with torch.autocast("cpu", torch.bfloat16):
        made = network(shown)
    assert made.dtype == torch.float32
    assert not torch.equal(made, made.bfloat16().float())
