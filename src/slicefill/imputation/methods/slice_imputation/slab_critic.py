"""The slab critic: consecutive acquired and synthetic slices as one volume.

Pesaranghader et al. (CT-SGAN, 2021) judge slabs beside single slices, so that slices that do not
belong together are told from real ones. The slab of a group is I_0, Î_1 … Î_N, I_{N+1}: both outer
slices are acquired. Their cross-entropy form; without the gradient penalty, whose weight they do
not give.
"""

import torch
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.critic_kind import CriticKind
from slicefill.imputation.methods.slice_imputation.synthesis import Synthesis

_SLOPE = 0.1


class SlabCritic(nn.Module):
    """Three 3D convolutions that halve rows and columns, not slices, and a fully connected layer.

    Args:
        channels: Image channels.
        width: Channels of the first level.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        levels = [(channels, width), (width, 2 * width), (2 * width, 4 * width)]
        layers: list[nn.Module] = []
        for i, o in levels:
            conv = nn.Conv3d(i, o, (3, 4, 4), stride=(1, 2, 2), padding=1)
            layers += [conv, nn.LeakyReLU(_SLOPE)]
        pooled = nn.AdaptiveAvgPool3d((1, 4, 4))
        self.layers = nn.Sequential(*layers, pooled, nn.Flatten(), nn.Linear(64 * width, 1))

    def forward(self, slabs: Tensor) -> Tensor:
        """`(B, C, T, H, W)`, any T → logits `(B,)`."""
        logits: Tensor = self.layers(slabs)
        return logits.squeeze(1)


def _slab(made: Synthesis, inner: Tensor) -> Tensor:
    """Both acquired outer slices around the inner ones, `(B, C, N + 2, h, w)`."""
    stack = torch.cat([made.batch.first[:, None], inner, made.batch.last[:, None]], 1)
    return stack.transpose(1, 2)


KIND = CriticKind(
    SlabCritic, lambda made: _slab(made, made.real), lambda made: _slab(made, made.slices)
)
