"""Supervised training objective, and the drawing and augmentation of its patches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from slicefill.segmentation.interface import Objective, PatchBatch, Setting
from slicefill.segmentation.losses import Total, deep_supervised
from slicefill.segmentation.sampling import Sampler
from slicefill.segmentation.transforms import make_all
from slicefill.training.fit import State

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform


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
        self._transforms = make_all(transforms)

    def __call__(self, count: int, rng: np.random.Generator, labelled: bool = True) -> PatchBatch:
        """Draw `count` patches for this process."""
        rank, processes = self._fabric.global_rank, self._fabric.world_size
        batch = self._sampler.draw(count * processes, rng, labelled)
        if processes > 1:
            mine = slice(rank, None, processes)
            batch = PatchBatch(batch.image[mine], batch.label[mine], batch.weight[mine])
            rng = rng.spawn(processes)[rank]
        if self._transforms:
            batch = transform_batch(batch, self._transforms, rng)
        return batch.to(self._fabric.device)


@dataclass(frozen=True)
class Supervised:
    """Dice and cross-entropy on labelled patches, with deep supervision where there is any."""

    draw: Callable[[np.random.Generator], PatchBatch]
    total: Total

    def terms(self, network: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the one term."""
        batch = self.draw(rng)
        outputs = network(batch.image)
        return {"supervised": deep_supervised(outputs, batch.label, batch.weight, self.total)}

    def after_step(self, network: nn.Module, step: int) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Any]:
        """Return nothing: the network is all."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing."""


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
