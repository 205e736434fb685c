"""ESRGAN's discriminator and its relativistic average losses."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.2  # leaky ReLU
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
            nn.Linear(pooled, _HIDDEN), nn.LeakyReLU(_SLOPE), nn.Linear(_HIDDEN, 1)
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
    return [convolution, *norm, nn.LeakyReLU(_SLOPE)]
