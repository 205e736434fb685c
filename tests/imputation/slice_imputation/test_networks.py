"""Layers: sizes, ranges, and the layer list of the paper."""

import pytest
import torch
from torch import nn

from slicefill.imputation.methods.slice_imputation.networks import (
    Attention,
    BlockUNet,
    Discriminator,
    ObjectClassifier,
    UNet,
    _from_blocks,
    _to_blocks,
)


def test_paper_size_unet_has_the_layers_of_super_slomo():
    network = UNet(2, 4, width=32, depth=5)
    down = [layer for layer in network.down.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in down[::2]] == [32, 64, 128, 256, 512, 512]
    assert [layer.kernel_size[0] for layer in down] == [7, 7, 5, 5, 3, 3, 3, 3, 3, 3, 3, 3]
    up = [(layer.in_channels, layer.out_channels) for layer in network.reduce]
    assert up == [(512, 512), (512, 256), (256, 128), (128, 64), (64, 32)]
    assert [layer.in_channels for layer in network.merge] == [1024, 512, 256, 128, 64]
    slopes = {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.1}


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_unet_keeps_the_size_and_starts_at_zero(depth, seeded):
    x = torch.rand(2, 3, 16, 24, generator=seeded)
    y = UNet(3, 4, width=4, depth=depth)(x)
    assert y.shape == (2, 4, 16, 24)
    assert not y.any()


def test_every_weight_of_the_unet_learns(seeded):
    network = UNet(2, 4, width=4, depth=2)
    nn.init.normal_(network.out.weight)
    network(torch.rand(1, 2, 16, 16, generator=seeded)).square().mean().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_attention_weights_features_by_a_mask_between_0_and_1(seeded):
    attention = Attention(1, 4)
    x = torch.rand(2, 1, 9, 11, generator=seeded)
    mask = attention.mask(x)
    assert mask.shape == (2, 1, 9, 11)
    assert 0 < mask.min() <= mask.max() < 1
    with torch.no_grad():
        attention.mask_layers[-1].bias.fill_(-200.0)  # a mask of zeros
    assert not attention(x).any()


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (64, 64)])
@pytest.mark.parametrize("judge", [Discriminator, ObjectClassifier])
def test_judges_take_slices_of_any_size(judge, size):
    assert judge(2, 4)(torch.rand(3, 2, *size)).shape == (3,)


def test_discriminator_and_classifier_have_the_layers_of_the_paper():
    def count(network, kind):
        return sum(isinstance(layer, kind) for layer in network.modules())

    discriminator, classifier = Discriminator(1, 8), ObjectClassifier(8, 8)
    assert (count(discriminator, nn.Conv2d), count(discriminator, nn.Linear)) == (3, 1)
    assert (count(classifier, nn.Conv2d), count(classifier, nn.Linear)) == (0, 2)


@pytest.mark.parametrize("size", [(16, 16), (8, 24)])
def test_a_net_on_blocks_starts_at_zero_and_keeps_the_size(size, seeded):
    network = BlockUNet(3, 5, width=4, depth=2, block=2)
    made = network(torch.rand(2, 3, *size, generator=seeded))
    assert made.shape == (2, 5, *size)
    assert not made.any()


def test_a_net_on_blocks_moves_with_its_input_by_its_multiple(seeded):
    network = BlockUNet(1, 1, width=4, depth=1, block=2)
    torch.nn.init.normal_(network.out.weight)
    image = torch.rand(1, 1, 64, 64, generator=seeded)
    there = network(image.roll(4, 3))[..., 24:40]
    assert torch.allclose(there, network(image).roll(4, 3)[..., 24:40], atol=1e-5)


@pytest.mark.parametrize(("dtype", "block"), [(torch.bfloat16, 4), (torch.float32, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pixels_are_put_into_blocks_as_torch_does(dtype, block, layout, seeded):
    slices = torch.rand(2, 3, 16, 24, generator=seeded).to(dtype).contiguous(memory_format=layout)
    with torch.no_grad():
        blocks = _to_blocks(slices, block)
        assert torch.equal(blocks, torch.nn.functional.pixel_unshuffle(slices, block))
        assert torch.equal(_from_blocks(blocks, block), slices)
        there = _from_blocks(blocks.contiguous(memory_format=layout), block)
    assert torch.equal(there, slices)
