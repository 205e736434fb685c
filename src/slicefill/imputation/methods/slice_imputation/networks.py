"""Layers: the U-Net of Super-SloMo, the attention, the classifier and the discriminators."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.params import NetworkParams

_SLOPE = 0.1  # leaky ReLU, as in Super-SloMo


class UNet(nn.Module):
    """Super-SloMo's U-Net: average pooling down, bilinear up, skip connections, linear output.

    Kernels are 7 × 7 at full size, 5 × 5 at half, 3 × 3 below. Channels double from `width`
    and stay in the deepest level (32 … 512, 512 in the paper). The last layer starts at zero,
    so that training starts from zero flow, that is from linear interpolation.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels of the first level.
        depth: Number of halvings; H and W must be multiples of 2 ** depth.

    Reference:
        Jiang et al., Super SloMo, CVPR 2018, section 3.3.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth)]
        channels.append(channels[-1])
        kernels = [7, 5, *[3] * (depth - 1)]
        before = [inputs, *channels[:-1]]
        self.down = nn.ModuleList(
            _pair(i, o, k) for i, o, k in zip(before, channels, kernels, strict=True)
        )
        steps = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.reduce = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in steps)
        self.merge = nn.ModuleList(nn.Conv2d(2 * o, o, 3, padding=1) for _, o in steps)
        self.out = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # Conv2d has a bias by default

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` → `(B, outputs, H, W)`."""
        output: Tensor = self.out(self.features(x))
        return output

    def features(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` → what the last layer sees, `(B, width, H, W)`."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for reduce, merge in zip(self.reduce, self.merge, strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(reduce(x), _SLOPE)
            x = F.leaky_relu(merge(torch.cat([x, skips.pop()], 1)), _SLOPE)
        return x


class BlockUNet(nn.Module):
    """U-Net on blocks of pixels: each `block` × `block` pixels are channels of one position.

    Full-size convolutions are what a U-Net of slices spends its time on; here there are none,
    all kernels are 3 × 3, channels grow by half the width per level, and what comes out is put
    back on the pixels. As in `UNet` the last layer starts at zero.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels of the first level.
        depth: Number of halvings after that of blocks.
        block: Pixels a side; H and W must be multiples of block · 2 ** depth.

    Reference:
        Shi et al., Real-time single image super-resolution using sub-pixel convolution, CVPR 2016.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, block: int) -> None:
        super().__init__()
        self.block = block
        channels = [width + level * width // 2 for level in range(depth)]
        channels.append(channels[-1])
        before = [inputs * block**2, *channels[:-1]]
        self.down = nn.ModuleList(_pair(i, o, 3) for i, o in zip(before, channels, strict=True))
        steps = zip(channels[:0:-1], channels[-2::-1], strict=True)
        self.merge = nn.ModuleList(nn.Conv2d(i + o, o, 3, padding=1) for i, o in steps)
        self.out = nn.Conv2d(width, outputs * block**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # Conv2d has a bias by default

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` → `(B, outputs, H, W)`."""
        x = _to_blocks(x, self.block)
        skips: list[Tensor] = []
        for level, pair in enumerate(self.down):
            x = pair(F.avg_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for merge in self.merge:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(merge(torch.cat([x, skips.pop()], 1)), _SLOPE)
        return _from_blocks(self.out(x), self.block)


def _to_blocks(x: Tensor, block: int) -> Tensor:
    """`F.pixel_unshuffle`; a row of a block that fills a long integer is moved as one."""
    if not _is_long(x, block):
        return F.pixel_unshuffle(x, block)
    batch, channels, height, width = x.shape
    rows = x.contiguous().view(torch.int64).view(batch, channels, height // block, block, -1)
    moved = rows.permute(0, 2, 4, 1, 3).contiguous().view(x.dtype)
    return moved.view(batch, height // block, width // block, -1).permute(0, 3, 1, 2)


def _from_blocks(x: Tensor, block: int) -> Tensor:
    """`F.pixel_shuffle`, in the same way."""
    if not _is_long(x, block):
        return F.pixel_shuffle(x, block)
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).contiguous().view(torch.int64)
    rows = rows.view(batch, height, width, channels // block**2, block)
    moved = rows.permute(0, 3, 1, 4, 2).contiguous().view(x.dtype)
    return moved.view(batch, channels // block**2, height * block, width * block)


def _is_long(x: Tensor, block: int) -> bool:
    return block * x.element_size() == torch.int64.itemsize and not torch.is_grad_enabled()


def build_unet(inputs: int, outputs: int, params: NetworkParams) -> nn.Module:
    """Build the U-Net of the configured size: Super-SloMo's, or one on blocks of pixels."""
    if params.block == 1:
        return UNet(inputs, outputs, params.width, params.depth)
    return BlockUNet(inputs, outputs, params.width, params.depth, params.block)


def _pair(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(outputs, outputs, kernel, padding=padding),
        nn.LeakyReLU(_SLOPE),
    )


class Attention(nn.Module):
    """Features of one convolution, weighted by a mask of two: section III, Fig. 2(a)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, width, 3, padding=1)
        self.mask_layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def mask(self, slices: Tensor) -> Tensor:
        """Where the attention looks, `(B, 1, H, W)` in (0, 1): the activation map of Fig. 6."""
        return torch.sigmoid(self.mask_layers(slices))

    def forward(self, slices: Tensor) -> Tensor:
        """`(B, C, H, W)` → `(B, width, H, W)`."""
        return F.leaky_relu(self.features(slices), _SLOPE) * self.mask(slices)


class Discriminator(nn.Module):
    """Three convolutions of stride 2 and a fully connected layer; returns logits `(B,)`.

    Pooling to 4 × 4 before the last layer lets it take slices of any size. The sigmoid is in
    the loss (BCE with logits).
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        channels = [inputs, width, 2 * width, 4 * width]
        self.layers = nn.Sequential(
            *_strided(channels), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64 * width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` → logits `(B,)`, above 0 for real."""
        logits: Tensor = self.layers(x)
        return logits.squeeze(1)


def _strided(channels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, o in pairwise(channels):
        layers += [nn.Conv2d(i, o, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
    return layers


class ObjectClassifier(nn.Module):
    """Two fully connected layers on the attended features; does the slice show the object?"""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * inputs, 4 * width),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(4 * width, 1),
        )

    def forward(self, attended: Tensor) -> Tensor:
        """`(B, inputs, H, W)` → logits `(B,)`."""
        logits: Tensor = self.layers(attended)
        return logits.squeeze(1)
