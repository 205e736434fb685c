"""Layers: a U-Net that sees many slices at once, and the head that fuses candidates."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.1  # leaky ReLU
_BRANCH = 0.5  # scale of what a block adds before it has learned
_CENTRE, _SPREAD = 0.5, 3.0  # of intensities in [0, 1], so that their variance is about 1
_APART = 3.0  # the same of differences between candidates
_POSITION = 3  # t, 1 - t, 4 t (1 - t)


class PlanesBlock(nn.Module):
    """A convolution across slices, rows and columns, and one within slices; residual.

    Args:
        inputs: Channels in.
        outputs: Channels out; where they differ, what is added is a mixture of those in.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mixed = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.across = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.within = nn.Conv2d(outputs, outputs, 3, padding=1)
        keep_variance(self)
        with torch.no_grad():
            self.within.weight.mul_(_BRANCH)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, D, H, W)` → `(B, outputs, D, H, W)`."""
        made = by_slice(self.within, F.leaky_relu(self.across(x), _SLOPE))
        return F.leaky_relu(by_slice(self.mixed, x) + made, _SLOPE)


class VolumeUNet(nn.Module):
    """U-Net of a stack: halved within slices, never across them.

    Outlines that move many pixels from slice to slice are traced at its coarse levels, as they
    would be in sagittal and coronal cuts.

    Args:
        channels: Of the image.
        widths: Channels of every level, finest first; that of blocks of pixels.
        blocks: `PlanesBlock`s of every level.
        block: Pixels a side of a position of the finest level.
    """

    def __init__(
        self, channels: int, widths: tuple[int, ...], blocks: tuple[int, ...], block: int
    ) -> None:
        super().__init__()
        self.block = block
        self.multiple = block * 2 ** (len(widths) - 1)
        before = [channels * block**2, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(PlanesBlock(i, o), *[PlanesBlock(o, o) for _ in range(n - 1)])
            for i, o, n in zip(before, widths, blocks, strict=True)
        )
        steps = zip(widths[:0:-1], widths[-2::-1], strict=True)
        self.merge = nn.ModuleList(nn.Conv2d(i + o, o, 3, padding=1) for i, o in steps)
        keep_variance(self.merge)

    def forward(self, stack: Tensor) -> Tensor:
        """`(B, C, D, H, W)` → features of blocks of pixels, `(B, widths[0], D, H/b, W/b)`."""
        stack = _SPREAD * (stack - _CENTRE)
        x = by_slice(lambda s: F.pixel_unshuffle(s, self.block), stack)
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            x = blocks(by_slice(lambda s: F.avg_pool2d(s, 2), x) if level else x)
            skips.append(x)
        x = skips.pop()
        for merge in self.merge:
            x = by_slice(_double, x)
            x = F.leaky_relu(by_slice(merge, torch.cat([x, skips.pop()], 1)), _SLOPE)
        return x


class FusionHead(nn.Module):
    """From features of both neighbours and candidates of a position to the maps that fuse them.

    Args:
        features: Channels of a neighbour.
        candidates: Channels of all candidates.
        outputs: Maps to return; they start at zero.
        width: Channels within.
        block: Pixels a side of a position.
    """

    def __init__(
        self, features: int, candidates: int, outputs: int, width: int, block: int
    ) -> None:
        super().__init__()
        self.block = block
        self.pair = nn.Conv2d(2 * features, width, 3, padding=1)
        self.position = nn.Linear(_POSITION, 2 * width)
        self.see = nn.Conv2d(width + candidates * block**2, width, 3, padding=1)
        self.think = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, outputs * block**2, 3, padding=1)
        keep_variance(self)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # Conv2d has a bias by default

    def between(self, features: Tensor) -> Tensor:
        """Features of neighbours, `(B, F, D, h, w)` → of intervals, `(B (D - 1), width, h, w)`."""
        both = torch.cat([features[:, :, :-1], features[:, :, 1:]], 1)
        made: Tensor = self.pair(both.transpose(1, 2).flatten(0, 1))
        return made

    def forward(self, between: Tensor, candidates: Tensor, t: Tensor) -> Tensor:
        """`(B, width, h, w)`, `(B, candidates, H, W)` and t `(B,)` → `(B, outputs, H, W)`."""
        at = torch.stack([t, 1 - t, 4 * t * (1 - t)], 1)
        scale, shift = self.position(at)[:, :, None, None].chunk(2, 1)
        x = F.leaky_relu(between * (1 + scale) + shift, _SLOPE)
        first = candidates[:, :1]
        apart = torch.cat([first - _CENTRE, _APART * (candidates[:, 1:] - first)], 1)
        x = torch.cat([x, F.pixel_unshuffle(_SPREAD * apart, self.block)], 1)
        x = F.leaky_relu(self.see(x), _SLOPE)
        x = x + F.leaky_relu(self.think(x), _SLOPE)
        made: Tensor = F.pixel_shuffle(self.out(x), self.block)
        return made


def keep_variance(layers: nn.Module) -> None:
    """Start convolutions so that features are as large behind a leaky ReLU as before it."""
    for layer in layers.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(layer.weight, _SLOPE)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has a bias by default


def by_slice(function: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
    """Apply a function of slices `(B, C, H, W)` to every slice of a stack `(B, C, D, H, W)`."""
    batch, _, depth = stack.shape[:3]
    made = function(stack.transpose(1, 2).flatten(0, 1))
    return made.view(batch, depth, *made.shape[1:]).transpose(1, 2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
