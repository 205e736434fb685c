"""High frequencies apart: their head, the factorised large kernels in it, and their target.

Shi et al. (Frequency-supervised MR-to-CT synthesis, 2021) let a network predict low and high
frequencies by two outputs and supervise the high ones by themselves. Here the head splits the
residual: the blend of the moved slices has high frequencies of its own, and what it lacks of them
is the high part. Their cut-off, 15 voxels, passes nearly everything of a patch; ours follows the
interval.
"""

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from slicefill.imputation.methods.slice_imputation.synthesis import Synthesis

_SLOPE = 0.1
_KERNEL = 13  # pixels: 19 was no better in the paper
_REACH = 3.0  # standard deviations of the low-pass


class FactorisedKernel(nn.Module):
    """A large kernel as chains of one-dimensional ones, one chain per cyclic order of the axes.

    Each convolution is normalised per sample and channel; the chains are summed. There are
    `axes`² · `kernel` · `channels`² weights.

    Args:
        channels: In and out.
        kernel: Size along each axis, odd.
        axes: 2 for slices, 3 for volumes.
    """

    def __init__(self, channels: int, kernel: int, axes: int = 2) -> None:
        super().__init__()
        conv: Any = {2: nn.Conv2d, 3: nn.Conv3d}[axes]  # their sizes have other types
        norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[axes]
        self.chains = nn.ModuleList()
        for first in range(axes):
            layers: list[nn.Module] = []
            for step in range(axes):
                size = [1] * axes
                size[(first + step) % axes] = kernel
                padding = tuple(length // 2 for length in size)
                layers += [
                    conv(channels, channels, tuple(size), padding=padding, bias=False),
                    norm(channels),
                    nn.LeakyReLU(_SLOPE),
                ]
            self.chains.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, channels, …)` → the same shape."""
        return torch.stack([chain(x) for chain in self.chains]).sum(0)


class FrequencyUNet(nn.Module):
    """A U-Net whose last features also give a residual in two parts, of low and high frequencies.

    Every position divides its features among both parts (softmax). Both start at zero.

    Args:
        unet: With `features` and `out` (`networks.UNet`).
        width: Channels of its features.
        channels: Of the image.
    """

    def __init__(self, unet: nn.Module, width: int, channels: int) -> None:
        super().__init__()
        self.unet = unet
        self.divide = nn.Conv2d(width, 2, 3, padding=1)
        self.refine = FactorisedKernel(width, _KERNEL)
        self.low, self.high = (nn.Conv2d(width, channels, 3, padding=1) for _ in range(2))
        for layer in (self.low, self.high):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(cast(nn.Parameter, layer.bias))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` → outputs of the U-Net, low part, high part, one after the other."""
        features = cast(nn.Module, self.unet.features)(x)
        share = torch.softmax(self.divide(features), 1)
        low = self.low(share[:, :1] * features)
        high = self.high(self.refine(share[:, 1:] * features))
        return torch.cat([cast(nn.Module, self.unet.out)(features), low, high], 1)


def synthetic_high(made: "Synthesis") -> Tensor | None:
    """High frequencies of the synthetic slices: those of the blend, and the high part.

    Returns:
        `(B, N, C, h, w)`; None for a network without the head, or a batch without the target.
    """
    residuals, highs = (
        [part for motion in made.motions if (part := getattr(motion, name)) is not None]
        for name in ("residual", "high")
    )
    if not highs or made.batch.sigma is None:
        return None
    blended = made.slices - torch.stack(residuals, 1)
    return blended - low_pass(blended, made.batch.sigma) + torch.stack(highs, 1)


def low_pass(slices: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian low-pass within slices; the border repeats.

    Args:
        slices: `(B, N, C, h, w)`.
        sigma: Standard deviation of each sample, pixels, `(B,)`, above 0.

    Example:
        >>> flat = torch.full((1, 1, 1, 5, 5), 2.0)
        >>> bool(torch.allclose(low_pass(flat, torch.tensor([1.0])), flat))
        True
    """
    batch, count, channels, height, width = slices.shape
    reach = max(1, round(_REACH * float(sigma.max())))
    places = torch.arange(-reach, reach + 1, device=slices.device)
    kernel = torch.exp(-0.5 * (places / sigma[:, None].to(slices.device)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(slices.dtype)[:, None]
    x = slices.transpose(0, 2).reshape(channels * count, batch, height, width)
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, kernel[:, :, None], groups=batch)
    x = F.conv2d(x, kernel[..., None], groups=batch)
    return x.reshape(channels, count, batch, height, width).transpose(0, 2)
