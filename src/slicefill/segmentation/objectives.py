"""What our own networks are trained towards: labels, or labels and agreement with a teacher."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from torch import Tensor, nn

from slicefill.segmentation.augmentation import transform_batch
from slicefill.segmentation.engines.mean_teacher import Params
from slicefill.segmentation.interface import Objective, PatchBatch, Setting
from slicefill.segmentation.losses import Total, deep_supervised, dice_ce
from slicefill.segmentation.sampling import Sampler
from slicefill.segmentation.teacher import MeanTeacher
from slicefill.segmentation.transforms import make_all
from slicefill.training.fit import State


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


def with_mean_teacher(
    params: Params, drawer: Drawer, total: Total, student: nn.Module, setting: Setting
) -> Objective:
    """Learn from labelled slices, and from unlabelled ones by agreement with a teacher."""
    options = setting.params.optimisation
    batch = max(2, options.batch)
    unlabelled = min(batch - 1, max(1, round(batch * params.unlabelled_fraction)))  # both kinds

    def draw(rng: np.random.Generator) -> tuple[PatchBatch, PatchBatch]:
        return drawer(batch - unlabelled, rng), drawer(unlabelled, rng, labelled=False)

    steps = options.epochs * options.steps_per_epoch
    return MeanTeacher(copy.deepcopy(student), draw, params, steps, partial(dice_ce, total=total))
