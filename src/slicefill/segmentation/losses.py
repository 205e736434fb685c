"""Dice and cross-entropy with a weight per voxel. Lower is better, 0 is perfect.

Shapes: logits `(B, K, ...)`, background first; class indices `(B, 1, ...)`, int64; weights
`(B, 1, ...)`, at least 0. The scale of the weights is of no account: double all, and the loss
stays. Losses are computed in float32 whatever the precision of the logits.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Total = Callable[[Tensor], Tensor]
"""From the sums over this process's part of a batch to those over all of it."""

_SMOOTH = 1e-5  # of the Dice ratio, as nnU-Net and MONAI


def whole(sums: Tensor) -> Tensor:
    """Stand for the total where one process has all of the batch."""
    return sums


def dice_ce(logits: Tensor, label: Tensor, weight: Tensor, total: Total = whole) -> Tensor:
    """Soft Dice loss plus cross-entropy; from 0, without upper bound.

    With probabilities p, one-hot labels g and weights w, sums over batch and space, and the mean
    over the classes k ≥ 1:

        1 - mean_k (2 Σ w p_k g_k + ε) / (Σ w p_k + Σ w g_k + ε)  +  -Σ w log p_label / Σ w

    A class that is neither in the labels nor predicted counts as perfect. Without a voxel of
    positive weight the loss and its gradient are 0.

    Args:
        logits: Of this process.
        label: Class indices.
        weight: Weight per voxel.
        total: Completes the sums, so that the loss is that of the batches of all processes.

    Reference:
        Isensee et al., nnU-Net, Nature Methods 18, 2021 (batch Dice without background).

    Example:
        >>> label = torch.tensor([[[0, 1]]])
        >>> even = torch.zeros(1, 2, 2)
        >>> loss = dice_ce(even, label, torch.ones(1, 1, 2))  # 1 - 2 · 0.5 / (1 + 1) + log 2
        >>> round(loss.item(), 4)
        1.1931
    """
    precise = torch.promote_types(logits.dtype, torch.float32)
    logits, weight = logits.to(precise), weight.to(precise)
    overlap, size = _dice_sums(logits, label, weight)
    voxels = weight[:, 0] * F.cross_entropy(logits, label[:, 0], reduction="none")
    sums = total(torch.cat([overlap, size, voxels.sum()[None], weight.sum()[None]]))
    surprise, weights = sums[-2:]
    overlap, size = sums[:-2].view(2, -1)
    dice = ((2 * overlap + _SMOOTH) / (size + _SMOOTH)).mean()
    loss: Tensor = 1 - dice + surprise / weights.clamp(min=torch.finfo(precise).tiny)
    return loss


def deep_supervised(outputs: Tensor, label: Tensor, weight: Tensor, total: Total = whole) -> Tensor:
    """Average `dice_ce` over the heads of a network, head i with a share ∝ 2 ** -i.

    Args:
        outputs: Logits `(B, K, ...)`, or of several heads at full size, `(B, n, K, ...)`, finest
            first, as MONAI's DynUNet returns them in training.
        label: Class indices.
        weight: Weight per voxel.
        total: As of `dice_ce`.
    """
    if outputs.dim() == label.dim():
        return dice_ce(outputs, label, weight, total)
    losses = torch.stack([dice_ce(head, label, weight, total) for head in outputs.unbind(1)])
    shares = 0.5 ** torch.arange(len(losses), device=losses.device)
    return (shares * losses).sum() / shares.sum()


def _dice_sums(logits: Tensor, label: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    # MONAI's MaskedDiceLoss multiplies prediction and label alike, so that overlaps would count
    # with the weight squared: right for masks of 0 and 1 alone.
    one_hot = F.one_hot(label[:, 0], logits.shape[1]).movedim(-1, 1)[:, 1:]
    predicted = weight * logits.softmax(1)[:, 1:]
    space = [0, *range(2, logits.dim())]
    size = predicted.sum(space) + (weight * one_hot).sum(space)
    return (predicted * one_hot).sum(space), size
