"""A hierarchical conditional variational autoencoder of volumes, in the shape of a U-Net.

Reference:
    Hung, Sun, Chen, Galeotti: Hierarchical Probabilistic Ultrasound Image Inpainting via
    Variational Inference, DGM4MICCAI 2021; recast: what is missing are slices, and convolutions
    are three-dimensional, so that one draw of the latents holds for the whole volume.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.probabilistic.features import (
    CANDIDATES,
    CHANGE,
    DEEP,
    NEAR,
    count_features,
)
from slicefill.imputation.methods.probabilistic.params import STRIDE, SamplingNetworkParams

STRIDES = ((1, 2, 2), (2, 2, 2), (2, 2, 2))
"""From each level to the next coarser one; together `STRIDE`."""
LEAST_ERROR = 1e-3
"""Least expected absolute error, intensities in [0, 1]."""
_STILL, _CHANGED = 0.02, 0.25  # error that is expected before anything is learned


class Completion(NamedTuple):
    """One completion of a volume.

    Attributes:
        image: In [0, 1] or a little beyond, `(B, 1, S, H, W)`; acquired slices as they are.
        fields: Distances to outlines, pixels, `(B, labels, S, H, W)`; above 0 inside.
        error: Absolute error that is still expected of the image, `(B, 1, S, H, W)`.
    """

    image: Tensor
    fields: Tensor
    error: Tensor


class Latents(NamedTuple):
    """What one level draws: the prior, and the posterior's departure from it, in logarithms."""

    mean: Tensor
    log_scale: Tensor
    shift: Tensor
    log_ratio: Tensor

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence of posterior and prior, nats, summed."""
        ratio, scale = self.log_ratio.exp(), self.log_scale.exp()
        return ((self.shift / scale) ** 2 + ratio**2 - 2 * self.log_ratio - 1).sum() / 2


class ProbabilisticNetwork(nn.Module):
    """Completes volumes from acquired slices and noise; in training also sees the truth."""

    def __init__(self, shape: SamplingNetworkParams, labels: int) -> None:
        super().__init__()
        self.labels, self.bound = labels, shape.residual
        features, widths, latents = count_features(labels), shape.widths, shape.latents
        self.sees = _Encoder(features, widths)
        self.knows = _Encoder(features + 1 + labels, widths)
        self.priors = nn.ModuleList(
            nn.Conv3d(w, 2 * z, 1) for w, z in zip(widths[1:], latents, strict=True)
        )
        self.posteriors = nn.ModuleList(
            nn.Conv3d(2 * w, 2 * z, 1) for w, z in zip(widths[1:], latents, strict=True)
        )
        self.given = nn.ModuleList(
            nn.Conv3d(z, w, 1) for w, z in zip(widths[1:], latents, strict=True)
        )
        self.blocks = nn.ModuleList(_Block(w, w) for w in widths)
        self.rises = nn.ModuleList(
            nn.Conv3d(coarse, fine, 1) for fine, coarse in itertools.pairwise(widths)
        )
        self.drawn = latents
        self.head = nn.Conv3d(widths[0], CANDIDATES + 2 + labels, 1)
        for layer in (self.head, *self.priors):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def shapes(self, size: Sequence[int]) -> list[tuple[int, ...]]:
        """Shapes of the noise of a volume of `(S, H, W)` voxels, multiples of `STRIDE`."""
        made, stride = [], [1, 1, 1]
        for count, step in zip(self.drawn, STRIDES, strict=True):
            stride = [one * more for one, more in zip(stride, step, strict=True)]
            made.append((count, *(n // s for n, s in zip(size, stride, strict=True))))
        return made

    def forward(
        self, features: Tensor, noise: Sequence[Tensor], truth: Tensor | None = None
    ) -> tuple[Completion, list[Latents]]:
        """Complete volumes.

        Args:
            features: Of `features`, `(B, F, S, H, W)`, sizes multiples of `STRIDE`.
            noise: Standard normal, of `shapes`, finest level first.
            truth: Image and fields, `(B, 1 + labels, S, H, W)`; latents then are the posterior's.

        Returns:
            The completion, and what every level drew, finest first.
        """
        known = None if truth is None else self.knows(torch.cat([features, truth], 1))
        seen = self.sees(features)
        drawn: list[Latents] = []
        state = seen[-1]
        for level in range(len(STRIDES), 0, -1):
            latents = self._latents(level, state, known)
            scale = (latents.log_scale + latents.log_ratio).exp()
            z = latents.mean + latents.shift + scale * noise[level - 1]
            state = self.blocks[level](state + self.given[level - 1](z))
            drawn.insert(0, latents)
            risen = F.interpolate(self.rises[level - 1](state), seen[level - 1].shape[2:])
            state = seen[level - 1] + risen
        return self._finish(features, self.head(self.blocks[0](state))), drawn

    def _latents(self, level: int, state: Tensor, known: list[Tensor] | None) -> Latents:
        mean, log_scale = self.priors[level - 1](state).chunk(2, 1)
        log_scale = log_scale.clamp(-5, 2)
        if known is None:
            nothing = torch.zeros_like(mean)
            return Latents(mean, log_scale, nothing, nothing)
        told = torch.cat([state, known[level]], 1)
        shift, log_ratio = self.posteriors[level - 1](told).chunk(2, 1)
        return Latents(mean, log_scale, shift * log_scale.exp(), log_ratio.clamp(-5, 1))

    def _finish(self, features: Tensor, found: Tensor) -> Completion:
        candidates, near = features[:, :CANDIDATES], features[:, NEAR, None]
        between = (near > 0).to(found.dtype)
        shares, rest = found[:, :CANDIDATES].softmax(1), found[:, CANDIDATES:]
        residual = self.bound * torch.tanh(rest[:, :1]) * between
        image = (shares * candidates).sum(1, keepdim=True) + residual
        fields = DEEP * (rest[:, 2:] * between)
        if self.labels:
            fields = fields + DEEP * features[:, -self.labels :]
        likely = _STILL + _CHANGED * features[:, CHANGE, None]
        error = (rest[:, 1:2].clamp(-4, 4).exp() * likely).clamp(max=1) * between + LEAST_ERROR
        return Completion(image, fields, error)


class _Block(nn.Module):
    """Two convolutions beside the identity, with swish."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.past = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.past(x) + self.second(F.silu(self.first(F.silu(x))))
        return found


class _Encoder(nn.Module):
    """Features at all levels, finest first."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.enter = nn.Conv3d(inputs, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        levels = [self.enter(x)]
        for block, stride in zip(self.blocks, STRIDES, strict=True):
            levels.append(block(F.avg_pool3d(levels[-1], stride)))
        return levels


assert tuple(a * b * c for a, b, c in zip(*STRIDES, strict=True)) == STRIDE
