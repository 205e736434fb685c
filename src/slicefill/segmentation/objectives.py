"""Losses, and the supervised objective with the drawing and augmentation of its patches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from slicefill.segmentation.interface import Objective, PatchBatch, Setting
from slicefill.segmentation.sampling import Sampler
from slicefill.segmentation.transforms import make_all
from slicefill.training.hardware import rank_slice

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform

import torch.nn.functional as F

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


class Drawer:
    """Draws patches, varied by conventional augmentation, onto a device.

    Every process draws the patches of all with the same random numbers and takes its share, the
    same that one process would draw. Augmentation costs more: each varies its share alone, by
    random numbers of its own.
    """

    def __init__(
        self,
        sampler: Sampler,
        transforms: Sequence[dict[str, Any]],
        fabric: Fabric,
    ) -> None:
        self._sampler, self._fabric = sampler, fabric
        self._entries, self._transforms = transforms, make_all(transforms, sampler.classes)

    def of(self, sampler: Sampler) -> "Drawer":
        """Return what draws other patches in the same way."""
        return Drawer(sampler, self._entries, self._fabric)

    def __call__(self, count: int, rng: np.random.Generator, labelled: bool = True) -> PatchBatch:
        """Draw `count` patches for this process."""
        rank, processes = self._fabric.global_rank, self._fabric.world_size
        batch = self._sampler.draw(count * processes, rng, labelled)
        if processes > 1:
            mine = rank_slice(self._fabric)
            batch = PatchBatch(batch.image[mine], batch.label[mine], batch.weight[mine])
            rng = rng.spawn(processes)[rank]
        if self._transforms:
            batch = transform_batch(batch, self._transforms, rng)
        return batch.to(self._fabric.device)


@dataclass(frozen=True)
class Supervised(Objective):
    """Dice and cross-entropy on labelled patches, with deep supervision where there is any."""

    draw: Callable[[np.random.Generator], PatchBatch]
    total: Total

    def terms(self, network: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the one term."""
        batch = self.draw(rng)
        outputs = network(batch.image)
        return {"supervised": deep_supervised(outputs, batch.label, batch.weight, self.total)}


def supervised(drawer: Drawer, total: Total, network: nn.Module, setting: Setting) -> Objective:
    """Learn from labelled patches alone, a batch of them in this process."""
    batch = setting.params.optimisation.batch
    return Supervised(lambda rng: drawer(batch, rng), total)


def transform_batch(
    batch: PatchBatch, transforms: Sequence["RandomizableTransform"], rng: np.random.Generator
) -> PatchBatch:
    """Transform every sample of a batch on its own, all randomness drawn from `rng`.

    Args:
        batch: On the CPU.
        transforms: What `transforms.make_all` returns, in their order.
        rng: Two generators in the same state give the same result.

    Returns:
        A batch of the same shapes. Label and weight are 0 where no voxel came from the patch.
    """
    state = np.random.RandomState(rng.bit_generator)  # the kind of generator that MONAI takes
    for each in transforms:
        each.set_random_state(state=state)
    truths = torch.cat([batch.label.float(), batch.weight], dim=1)
    moved = []
    with _plain_tensors():
        for image, truth in zip(batch.image, truths, strict=True):
            patch = {"image": image, "truth": truth}
            for each in transforms:
                patch = each(patch)
            moved.append(patch)
    image, truth = (torch.stack([patch[key] for patch in moved]) for key in ("image", "truth"))
    return PatchBatch(image, truth[:, :1].long(), truth[:, 1:])


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Keep MONAI from wrapping tensors with metadata, which costs more than the transforms."""
    from monai.data.meta_obj import get_track_meta, set_track_meta

    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
