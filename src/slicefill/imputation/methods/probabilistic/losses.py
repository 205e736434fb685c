"""What a completion is measured by: a pyramid of its errors, labels, and the error it expects."""

import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.imputation.methods.probabilistic.network import Completion, Latents
from slicefill.imputation.methods.probabilistic.params import SamplingLossParams

UNKNOWN = -1
"""Index of a voxel whose label is not known."""


def pyramid_error(made: Tensor, truth: Tensor, near: Tensor, params: SamplingLossParams) -> Tensor:
    """Weighted mean absolute difference of the in-plane Laplacian pyramids.

    Level k weighs `coarse ** k`; a voxel `strictness ** -d` with d from 0 beside an acquired slice
    to 1 half-way: the constraint decays where more than one completion is plausible.

    Args:
        made: `(B, 1, S, H, W)`.
        truth: Same shape.
        near: d, `(B, 1, S, H, W)`.
        params: Levels and weights.
    """
    difference = (made - truth).transpose(1, 2).flatten(0, 1)  # bands are linear in the image
    weight = (params.strictness**-near).transpose(1, 2).flatten(0, 1)
    total, weights = difference.new_zeros(()), 0.0
    for level in range(params.levels):
        last = level == params.levels - 1 or min(difference.shape[-2:]) < 2
        coarser = difference if last else F.avg_pool2d(difference, 2, ceil_mode=True)
        band = difference if last else difference - _enlarged(coarser, difference)
        own = params.coarse**level
        total = total + own * (weight * band.abs()).mean()
        weights += own
        if last:
            break
        difference, weight = coarser, F.avg_pool2d(weight, 2, ceil_mode=True)
    return total / weights


def label_error(fields: Tensor, label: Tensor, between: Tensor) -> Tensor:
    """Cross-entropy of labels on synthetic slices.

    Args:
        fields: Distances to outlines, `(B, labels, S, H, W)`; the background's is 0.
        label: Indices, 0 the background, `UNKNOWN` where nothing is known, `(B, S, H, W)`.
        between: 1 on synthetic slices, else 0, `(B, 1, S, H, W)`.
    """
    logits = torch.cat([torch.zeros_like(fields[:, :1]), fields], 1)
    surprise = F.cross_entropy(logits, label, reduction="none", ignore_index=UNKNOWN)
    return (surprise * between[:, 0]).sum() / between.sum().clamp(min=1)


def error_likelihood(found: Completion, truth: Tensor, between: Tensor) -> Tensor:
    """Minus the log-likelihood of the error, Laplacian; only the expected error learns from it."""
    error = (found.image.detach() - truth).abs()
    surprise = (error / found.error + found.error.log()) * between
    return surprise.sum() / between.sum().clamp(min=1)


def divergence(drawn: list[Latents], voxels: int) -> Tensor:
    """Kullback-Leibler divergence of all levels, nats per voxel."""
    return torch.stack([one.divergence() for one in drawn]).sum() / voxels


def _enlarged(coarse: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(coarse, like.shape[-2:], mode="bilinear", align_corners=False)
