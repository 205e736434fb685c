"""The network of ConResNet: one encoder, and two decoders that help each other at every scale.

Reference:
    Zhang et al., Inter-slice Context Residual Learning for 3D Medical Image Segmentation, IEEE TMI
    40, 2021, and its public code (jianpengz/ConResNet), as docs/method.md mends it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, ...]
_GROUPS = 8
_FLAT = 1e-10  # added to the variance of weights, as the public code
_DILATION = 2  # of the last two residual blocks


@dataclass(frozen=True)
class Shape:
    """What a network is built from.

    Attributes:
        channels: Of the image.
        classes: Outputs of the segmentation.
        residuals: Outputs of every residual head: the classes without background.
        width: Channels of the first level, a multiple of 8; 2, 4 and 8 times as many follow.
        kernels: Of the four levels, finest first, 1 or 3 along each axis.
        strides: On entering each level; the first is 1.
        residual: Whether there is a residual decoder; without it the network is a plain U-Net.
        mapping: Whether it sees changes of the segmentation's features, eq. (4).
        attention: Whether it weights the segmentation's features, eq. (6).
        dropout: Of channels at the bottleneck.
    """

    channels: int
    classes: int
    residuals: int
    width: int
    kernels: Sequence[Triple]
    strides: Sequence[Triple]
    residual: bool
    mapping: bool
    attention: bool
    dropout: float


def change(x: Tensor) -> Tensor:
    """Return |x(s) - x(s - 1)| along slices, `(B, C, D, H, W)`; 0 at the first slice.

    Example:
        >>> change(torch.tensor([1.0, 1.0, 3.0, 2.0]).view(1, 1, 4, 1, 1)).flatten()
        tensor([0., 0., 2., 1.])
    """
    return F.pad(x.diff(dim=2).abs(), (0, 0, 0, 0, 1, 0))


class StandardisedConv(nn.Conv3d):
    """A convolution without bias that keeps the size, its weights standardised per output channel.

    Weights have mean 0 and variance 1 / fan-in. The published ones have variance 1: so large that
    the sigmoids of the context residual modules, which no norm precedes, saturate.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: Triple,
        stride: Triple = (1, 1, 1),
        *,
        dilation: int = 1,
    ) -> None:
        """Set up; `dilation` is along the axes along which the kernel has an extent.

        Raises:
            ValueError: If a channel has a single weight, which standardisation would set to 0.
        """
        if channels * kernel[0] * kernel[1] * kernel[2] == 1:
            msg = f"expected more than one weight per channel, got {channels} channel, {kernel}"
            raise ValueError(msg)
        spread = tuple(dilation if size > 1 else 1 for size in kernel)
        padding = tuple(size // 2 * step for size, step in zip(kernel, spread, strict=True))
        super().__init__(channels, out, kernel, stride, padding, spread, bias=False)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        weight = self.weight.float()
        variance, mean = torch.var_mean(weight, (1, 2, 3, 4), correction=0, keepdim=True)
        fan_in = weight[0].numel()
        weight = (weight - mean) * (fan_in * (variance + _FLAT)).rsqrt()
        made: Tensor = self._conv_forward(x, weight.to(self.weight.dtype), None)
        return made


def layer(
    channels: int, out: int, kernel: Triple, stride: Triple = (1, 1, 1), *, dilation: int = 1
) -> nn.Sequential:
    """Group norm, ReLU, convolution: the order of the public code, which trains better."""
    convolution = StandardisedConv(channels, out, kernel, stride, dilation=dilation)
    return nn.Sequential(nn.GroupNorm(_GROUPS, channels), nn.ReLU(), convolution)


class Block(nn.Module):
    """x + two layers of x."""

    def __init__(self, channels: int, kernel: Triple, dilation: int = 1) -> None:
        """Set up."""
        super().__init__()
        self.layers = nn.Sequential(
            layer(channels, channels, kernel, dilation=dilation),
            layer(channels, channels, kernel, dilation=dilation),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        made: Tensor = x + self.layers(x)
        return made


class ContextResidual(nn.Module):
    """The module between the two decoders at one scale, eqs. (3) to (6).

    F = Conv(I_seg + I_skip)        G = change(σ(F))
    O_res = Conv(Conv₁(G) + I_res)  O_seg = F (1 + σ(O_res))
    """

    def __init__(
        self, channels: int, out: int, kernel: Triple, shape: Shape, carry: nn.Module
    ) -> None:
        """Set up; `carry` brings I_res to `out` channels."""
        super().__init__()
        self.features = layer(channels, out, kernel)
        self.carry, self.attention = carry, shape.attention
        mapped = shape.residual and shape.mapping
        self.map = StandardisedConv(out, out, (1, 1, 1)) if mapped else None
        self.refine = layer(out, out, kernel) if shape.residual else None

    def forward(self, inner: Tensor, skip: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Return O_seg and O_res at the size of the skip; without a residual decoder F twice."""
        features = self.features(_enlarge(inner, skip) + skip)
        if self.refine is None:
            return features, features
        residual = self.carry(_enlarge(residual, skip))
        if self.map is not None:
            residual = residual + self.map(change(features.sigmoid()))
        residual = self.refine(residual)
        if self.attention:
            features = features * (1 + residual.sigmoid())
        return features, residual


class Encoder(nn.Module):
    """Nine residual blocks on four levels, the last two dilated."""

    def __init__(self, shape: Shape) -> None:
        """Set up."""
        super().__init__()
        kernels, widths = shape.kernels, [shape.width * times for times in (1, 2, 4, 8)]
        stages = [nn.Sequential(StandardisedConv(shape.channels, shape.width, kernels[0]))]
        for level in range(1, 4):
            down = layer(widths[level - 1], widths[level], kernels[level], shape.strides[level])
            stages.append(nn.Sequential(down))
        for stage, width, kernel, count in zip(stages, widths, kernels, (1, 2, 2, 2), strict=True):
            stage.extend(Block(width, kernel) for _ in range(count))
        stages[3].extend(Block(widths[3], kernels[3], _DILATION) for _ in range(2))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of the four levels, finest first."""
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


class ConResNet(nn.Module):
    """`(B, C, D, H, W)` → logits `(B, K, D, H, W)`; D, H, W multiples of the total stride.

    In training it returns the logits and those of the residual heads, finest first, each
    `(B, K - 1, D, H, W)`; of these there are none without a residual decoder.
    """

    def __init__(self, shape: Shape) -> None:
        """Set up with random weights."""
        super().__init__()
        width, (k0, k1, k2, k3) = shape.width, shape.kernels
        self.encoder = Encoder(shape)
        self.bottleneck = layer(8 * width, 4 * width, k3)
        self.bottleneck.insert(2, nn.Dropout3d(shape.dropout))
        first = StandardisedConv(shape.channels, 2 * width, k2) if shape.residual else None
        between = layer(2 * width, width, k1) if shape.residual else None
        nothing = nn.Identity()
        self.decoder = nn.ModuleList(
            [
                ContextResidual(4 * width, 2 * width, k2, shape, first or nothing),
                ContextResidual(2 * width, width, k1, shape, between or nothing),
                ContextResidual(width, width, k0, shape, nothing),
            ]
        )
        self.head = nn.Conv3d(width, shape.classes, 1)
        widths = [width, width, 2 * width] if shape.residual else []
        self.residual_heads = nn.ModuleList(nn.Conv3d(w, shape.residuals, 1) for w in widths)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, list[Tensor]]:
        """See the class."""
        *skips, deepest = self.encoder(image)
        inner, residual = self.bottleneck(deepest), change(image)
        residuals: list[Tensor] = []
        for module, skip in zip(self.decoder, reversed(skips), strict=True):
            inner, residual = module(inner, skip, residual)
            residuals.insert(0, residual)
        logits: Tensor = self.head(inner)
        if not self.training:
            return logits
        heads = [
            _enlarge(head(features), image)
            for head, features in zip(self.residual_heads, residuals, strict=False)
        ]
        return logits, heads


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Bring to the size of another map; corners not aligned, so that features stay in place."""
    size = like.shape[2:]
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="trilinear")
