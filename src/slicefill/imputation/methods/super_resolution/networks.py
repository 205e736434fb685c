"""Generators of EDSR, RCAN and ESRGAN, and ESRGAN's discriminator with its losses."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.super_resolution.params import NetworkParams

_REDUCTION = 16  # channels per channel of RCAN's attention bottleneck
_DENSE_BLOCKS = 3  # per RRDB
_DENSE_CONVOLUTIONS = 5  # per dense block
_SMALLER_START = 0.1  # ESRGAN's factor on the initial weights of dense blocks
_SLOPE = 0.2  # leaky ReLU of ESRGAN


def build_generator(network: NetworkParams, channels: int, factor: int) -> nn.Module:
    """Build a network with random weights.

    Args:
        network: Architecture and size.
        channels: Image channels C.
        factor: R: rows made of every acquired one.

    Returns:
        A network from `(B, C, D, W)` to `(B, C, D * R, W)`, for any D and W. It works on
        intensities in [0, 1], so the subtraction of ImageNet's mean colour is left out; its
        output is not clipped.
    """
    body = _BODIES[network.kind](network)
    return Generator(body, (channels, network.width, factor), refined=network.kind == "esrgan")


def shuffle_rows(features: Tensor, factor: int) -> Tensor:
    """Turn channels into rows: sub-pixel convolution along the slice axis alone.

    As `torch.pixel_shuffle`, channel c * R + r becomes row k * R + r of channel c.

    Args:
        features: `(B, C * R, D, W)`.
        factor: R.

    Returns:
        `(B, C, D * R, W)`.

    Example:
        >>> shuffle_rows(torch.tensor([0, 1, 2]).view(1, 3, 1, 1), 3).flatten().tolist()
        [0, 1, 2]
    """
    batch, channels, depth, width = features.shape
    split = features.reshape(batch, channels // factor, factor, depth, width)
    return split.transpose(2, 3).reshape(batch, channels // factor, depth * factor, width)


class Generator(nn.Module):
    """Shallow features, a deep body around which they skip, more rows, the image.

    Args:
        body: Deep features, width to width.
        sizes: Image channels, width, factor.
        refined: One more convolution after the rows are made, leaky ReLUs between, as in ESRGAN.
    """

    def __init__(self, body: nn.Module, sizes: tuple[int, int, int], refined: bool) -> None:
        super().__init__()
        channels, width, self.factor = sizes
        self.head = _conv(channels, width)
        self.body = body
        self.rows = _conv(width, width * self.factor)
        layers = [nn.LeakyReLU(_SLOPE), _conv(width, width), nn.LeakyReLU(_SLOPE)]
        self.refinement = nn.Sequential(*(layers if refined else []))
        self.image = _conv(width, channels)

    def forward(self, slices: Tensor) -> Tensor:
        """`(B, C, D, W)` → `(B, C, D * R, W)`, both on the scale of [0, 1]."""
        features = self.head(slices)
        features = features + self.body(features)
        features = self.refinement(shuffle_rows(self.rows(features), self.factor))
        # bf16 holds 8 bits: enough for features, too few for intensities.
        with torch.autocast(slices.device.type, enabled=False):
            made: Tensor = self.image(features.float())
        return made


class Residual(nn.Module):
    """x + scale · block(x)."""

    def __init__(self, block: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.block = block
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        changed: Tensor = x + self.scale * self.block(x)
        return changed


class ChannelAttention(nn.Module):
    """Weights every channel by what all pixels show: RCAN, eq. (5) to (8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        reduced = max(1, width // _REDUCTION)
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, reduced, 1),
            nn.ReLU(),
            nn.Conv2d(reduced, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        weighted: Tensor = x * self.weights(x)
        return weighted


class DenseBlock(nn.Module):
    """Five convolutions, each on all features before it; half the width is added by each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        growth = width // 2
        outputs = [growth] * (_DENSE_CONVOLUTIONS - 1) + [width]
        self.layers = nn.ModuleList(
            _conv(width + k * growth, made) for k, made in enumerate(outputs)
        )
        for parameter in self.parameters():
            parameter.data.mul_(_SMALLER_START)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape; the last convolution is linear."""
        features = [x]
        for layer in self.layers[:-1]:
            features.append(F.leaky_relu(layer(torch.cat(features, 1)), _SLOPE))
        made: Tensor = self.layers[-1](torch.cat(features, 1))
        return made


def _edsr(network: NetworkParams) -> nn.Module:
    """Residual blocks without normalisation, then a convolution.

    Reference:
        Lim et al., Enhanced Deep Residual Networks, CVPRW 2017, single-scale: 16 blocks of 64
        channels (baseline), or 32 of 256 with a residual scale of 0.1.
    """
    width = network.width

    def block() -> nn.Module:
        layers = (_conv(width, width), nn.ReLU(), _conv(width, width))
        return Residual(nn.Sequential(*layers), network.residual_scale)

    return nn.Sequential(*(block() for _ in range(network.blocks)), _conv(width, width))


def _rcan(network: NetworkParams) -> nn.Module:
    """Residual groups of residual channel attention blocks.

    Reference:
        Zhang et al., Residual Channel Attention Networks, ECCV 2018: 10 groups of 20 blocks of
        64 channels.
    """
    width = network.width

    def block() -> nn.Module:
        layers = (_conv(width, width), nn.ReLU(), _conv(width, width), ChannelAttention(width))
        return Residual(nn.Sequential(*layers), network.residual_scale)

    groups = [
        Residual(nn.Sequential(*(block() for _ in range(network.blocks)), _conv(width, width)))
        for _ in range(network.groups)
    ]
    return nn.Sequential(*groups, _conv(width, width))


def _rrdb(network: NetworkParams) -> nn.Module:
    """Residual in residual dense blocks, ESRGAN's generator.

    Reference:
        Wang et al., ESRGAN, ECCVW 2018: 23 blocks of 64 channels, residual scale 0.2. Rows are
        made by sub-pixel convolution instead of nearest-neighbour upsampling.
    """
    width, scale = network.width, network.residual_scale

    def block() -> nn.Module:
        dense = [Residual(DenseBlock(width), scale) for _ in range(_DENSE_BLOCKS)]
        return Residual(nn.Sequential(*dense), scale)

    return nn.Sequential(*(block() for _ in range(network.blocks)), _conv(width, width))


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


_BODIES = {"edsr": _edsr, "rcan": _rcan, "esrgan": _rrdb}


_CRITIC_SLOPE = 0.2  # leaky ReLU
_LEVELS = (1, 2, 4, 8, 8)  # channels of each resolution, in units of the width
_POOLED = 4  # rows and columns that the linear layers see, as of the published 128² patches
_HIDDEN = 100


class Critic(nn.Module):
    """A VGG-like network of ten convolutions, two per resolution, and two linear layers.

    Slices of any size: what is left after five halvings is pooled to 4 × 4.

    Args:
        channels: Image channels.
        width: Channels of the first level; 64 as published.

    Reference:
        Wang et al., ESRGAN, ECCVW 2018; the network is SRGAN's (Ledig et al., CVPR 2017).
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [channels, *(width * level for level in _LEVELS)]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise(widths)):
            layers += _layer(before, after, stride=1, normed=level > 0)
            layers += _layer(after, after, stride=2, normed=True)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_POOLED), nn.Flatten())
        pooled = widths[-1] * _POOLED**2
        self.judge = nn.Sequential(
            nn.Linear(pooled, _HIDDEN), nn.LeakyReLU(_CRITIC_SLOPE), nn.Linear(_HIDDEN, 1)
        )

    def forward(self, slices: Tensor) -> Tensor:
        """`(B, C, H, W)` → logits `(B,)`, higher where a slice looks real."""
        logits: Tensor = self.judge(self.features(slices))
        return logits[:, 0].float()


def critic_loss(real: Tensor, made: Tensor) -> Tensor:
    """Cost of judging real slices no more real than the average of made ones, and vice versa.

    Args:
        real: Logits of real slices, `(B,)`.
        made: Logits of made slices, `(B,)`.

    Returns:
        Scalar > 0, lower is better for the critic.

    Example:
        A critic that cannot tell costs 2 log 2.

        >>> round(float(critic_loss(torch.zeros(2), torch.zeros(2))), 4)
        1.3863

    Reference:
        ESRGAN, eq. (1), after Jolicoeur-Martineau, ICLR 2019.
    """
    above, below = real - made.mean(), made - real.mean()
    return _towards(1, above) + _towards(0, below)


def generator_loss(real: Tensor, made: Tensor) -> Tensor:
    """The same with the roles exchanged: made slices shall look more real than real ones.

    Args:
        real: Logits of real slices, `(B,)`.
        made: Logits of made slices, `(B,)`.

    Returns:
        Scalar > 0, lower is better for the generator.

    Reference:
        ESRGAN, eq. (2).
    """
    return critic_loss(made, real)


def _towards(target: int, logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _layer(inputs: int, outputs: int, stride: int, normed: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
    norm = [nn.BatchNorm2d(outputs)] if normed else []
    return [convolution, *norm, nn.LeakyReLU(_CRITIC_SLOPE)]
