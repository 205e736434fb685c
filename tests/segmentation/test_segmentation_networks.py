"""Networks: sizes, deep supervision, repeatable weights."""

import numpy as np
import pytest
import torch

from slicefill.segmentation.networks import build_dynunet3d, build_unet2d
from slicefill.segmentation.planning import fit_patch, plan_levels


@pytest.fixture
def seeded():
    return torch.Generator().manual_seed(0)


def build_3d(spacing=(5, 1, 1), patch=(8, 32, 32), deep=True, **widths):
    sizes = {"width": 4, "widest": 8} | widths
    levels = plan_levels(np.array(spacing), patch)
    return build_dynunet3d(2, 3, levels, **sizes, deep_supervision=deep), levels


@pytest.mark.parametrize("size", [(16, 32), (48, 80)])
def test_unet_keeps_the_size_of_slices(size, seeded):
    network = build_unet2d(2, 3, width=4, dropout=0.0)
    assert network(torch.rand(2, 2, *size, generator=seeded)).shape == (2, 3, *size)


def test_unet_doubles_its_channels_over_five_levels():
    network = build_unet2d(1, 2, width=6, dropout=0.0)
    encoder = [network.conv_0, *(network.get_submodule(f"down_{n}") for n in (1, 2, 3, 4))]
    shapes = [[p.shape[0] for p in block.parameters()] for block in encoder]
    assert [set(channels) for channels in shapes] == [{6}, {12}, {24}, {48}, {96}]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_makes_passes_differ_in_training_alone(dropout, seeded):
    network = build_unet2d(1, 2, width=4, dropout=dropout)
    x = torch.rand(1, 1, 32, 32, generator=seeded)
    assert torch.equal(network(x), network(x)) == (dropout == 0)
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    ("spacing", "patch"),
    [
        ((1, 1, 1), (32, 32, 32)),
        ((5, 1, 1), (5, 33, 47)),
        ((4, 1, 1), (16, 64, 32)),
        ((1, 4, 1), (64, 9, 16)),
        ((10, 0.5, 0.7), (3, 128, 64)),
        ((9, 1, 1), (64, 8, 8)),
        ((1, 1, 1), (4, 5, 6)),
    ],
)
def test_dynunet_runs_at_its_fitted_patch(spacing, patch, seeded):
    network, levels = build_3d(spacing, patch)
    x = torch.rand(1, 2, *fit_patch(patch, levels), generator=seeded)
    heads = network(x)
    assert heads.shape == (1, max(2, len(levels.strides) - 2), 3, *x.shape[2:])
    network.eval()
    assert network(x).shape == (1, 3, *x.shape[2:])


def test_dynunet_without_deep_supervision_has_one_head(seeded):
    network, _ = build_3d(deep=False)
    assert network(torch.rand(1, 2, 8, 32, 32, generator=seeded)).shape == (1, 3, 8, 32, 32)


def test_coarser_heads_have_fewer_details(seeded):
    network, levels = build_3d((1, 1, 1), (64, 64, 64))
    assert len(levels.strides) == 5
    heads = network(torch.rand(1, 2, 64, 64, 64, generator=seeded))[0]
    for level, head in enumerate(heads):
        edge = 2**level  # constant over blocks of this many voxels
        blocks = head[:, ::edge, ::edge, ::edge]
        assert torch.equal(
            head,
            blocks.repeat_interleave(edge, 1).repeat_interleave(edge, 2).repeat_interleave(edge, 3),
        )
        assert len(blocks.unique()) > 0.5 * blocks.numel()


def test_dynunet_doubles_its_channels_up_to_the_widest():
    network, levels = build_3d((1, 1, 1), (64, 64, 64), width=4, widest=20)
    assert network.filters == [4, 8, 16, 20, 20]
    assert len(levels.strides) == 5


def test_every_weight_of_the_dynunet_learns(seeded):
    network, _ = build_3d((5, 1, 1), (16, 32, 32))
    x = torch.rand(1, 2, 16, 32, 32, generator=seeded)
    network(x).square().mean().backward()
    still = [name for name, weight in network.named_parameters() if not weight.grad.abs().sum()]
    assert still == []


@pytest.mark.parametrize("build", [lambda: build_unet2d(1, 2, 4, 0.1), lambda: build_3d()[0]])
def test_a_seed_gives_the_same_weights(build):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([weight.flatten() for weight in build().parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
