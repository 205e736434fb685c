"""What the residual decoder is taught: where a label changes from one slice to the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.segmentation.engines.conresnet.network import change
from slicefill.segmentation.interface import Objective, PatchBatch
from slicefill.segmentation.objectives import Total, dice_ce, whole

Background = Literal["one", "printed"]


def residual_target(label: Tensor, weight: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return |Y(s) - Y(s - 1)| of every object, and how far it is known.

    Made from labels as they are after augmentation: turned, it would lie one slice off. The first
    slice has no neighbour and weight 0, as has one beside an unlabelled voxel: the weight is the
    less of both.

    Args:
        label: Class indices, `(B, 1, D, H, W)`.
        weight: Of the same shape.
        classes: K, with background.

    Returns:
        0 and 1, `(B, K - 1, D, H, W)`, and weights `(B, 1, D, H, W)`.

    Reference:
        Zhang et al., equations (1) and (13).
    """
    one_hot = F.one_hot(label[:, 0], classes).movedim(-1, 1)[:, 1:]
    both = torch.minimum(weight[:, :, 1:], weight[:, :, :-1])
    return change(one_hot).to(weight.dtype), F.pad(both, (0, 0, 0, 0, 1, 0))


def residual_loss(
    heads: Sequence[Tensor],
    target: Tensor,
    weight: Tensor,
    *,
    head_weight: float,
    background: Background = "one",
    total: Total = whole,
) -> Tensor:
    """Cross-entropy of the residual heads, L₀ + λ (L₁ + L₂ …), changes counted log(V / V₁) times.

    V is the weighted number of voxels of the batch and V₁ that of an object's changes. Without a
    voxel of positive weight the loss is 0.

    Args:
        heads: Logits, finest first, each of the shape of `target`.
        target: Where labels change.
        weight: Per voxel, `(B, 1, D, H, W)`.
        head_weight: λ.
        background: What a voxel without a change counts: one, or log(V / V₀) as printed, with
            which a head that knows nothing says "change" everywhere.
        total: As of `dice_ce`.

    Reference:
        Zhang et al., equations (8) and (9). Their code has no sigmoid before the logarithms.

    Example:
        >>> target = torch.zeros(1, 1, 4, 5, 5)
        >>> target[:, :, 1] = 1
        >>> loss = residual_loss([target * 0], target, torch.ones(1, 1, 4, 5, 5), head_weight=0.5)
        >>> round(loss.item(), 3)  # a quarter of log(100 / 26), three of 1; times log 2
        0.753
    """
    weight, target = weight.float(), target.float()
    space = (0, 2, 3, 4)
    counted = total(torch.cat([(weight * target).sum(space), weight.sum()[None]]).detach())
    changed, voxels = counted[:-1], counted[-1]
    without, within = (
        each.view(1, -1, 1, 1, 1) for each in _class_weights(changed, voxels, background)
    )
    loss = weight.new_zeros(())
    for index, head in enumerate(heads):
        surprise = F.binary_cross_entropy_with_logits(head.float(), target, reduction="none")
        share = torch.lerp(without, within, target)
        summed = total((weight * share * surprise).sum()[None])[0]
        mean = summed / (voxels * target.shape[1]).clamp(min=torch.finfo(torch.float32).tiny)
        loss = loss + mean * (head_weight if index else 1)
    return loss


def _class_weights(
    changed: Tensor, voxels: Tensor, background: Background
) -> tuple[Tensor, Tensor]:
    """Weights of voxels without and with a change, per object."""
    rare = (voxels / (changed + 1)).clamp(min=torch.e).log()
    if background == "one":
        return torch.ones_like(rare), rare
    return (voxels / (voxels - changed).clamp(min=1)).clamp(min=1).log(), rare


@dataclass(frozen=True)
class SegmentationAndResidual(Objective):
    """L = L_seg + L_res: the loss of all engines, and that of the residual heads.

    Attributes:
        draw: Draws labelled blocks.
        total: Completes sums over processes.
        classes: K.
        residual_weight: Of L_res.
        head_weight: λ.
        background: As of `residual_loss`.
    """

    draw: Callable[[np.random.Generator], PatchBatch]
    total: Total
    classes: int
    residual_weight: float
    head_weight: float
    background: Background

    def terms(self, network: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return `supervised` and, where there is a residual decoder, `residual`."""
        batch = self.draw(rng)
        logits, heads = network(batch.image)
        terms = {"supervised": dice_ce(logits, batch.label, batch.weight, self.total)}
        if heads:
            target, weight = residual_target(batch.label, batch.weight, self.classes)
            loss = residual_loss(
                heads,
                target,
                weight,
                head_weight=self.head_weight,
                background=self.background,
                total=self.total,
            )
            terms["residual"] = self.residual_weight * loss
        return terms
