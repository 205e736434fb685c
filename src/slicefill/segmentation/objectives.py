"""What our own networks are trained towards: labels, or labels and agreement with a teacher."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slicefill.augmentation import build_transform, transform_batch
from slicefill.params import TransformParams
from slicefill.segmentation.interface import Batch, Objective, Setting
from slicefill.segmentation.losses import deep_supervised, dice_ce
from slicefill.segmentation.mean_teacher import MeanTeacher
from slicefill.segmentation.sampling import Sampler
from slicefill.training import State


class Drawer:
    """Draws patches, varied by conventional augmentation, onto a device."""

    def __init__(
        self,
        sampler: Sampler,
        transforms: TransformParams | None,
        device: torch.device,
        dims: int,
    ) -> None:
        self._sampler, self._device = sampler, device
        self._transform = None if transforms is None else build_transform(transforms, dims)

    def __call__(self, count: int, rng: np.random.Generator, labelled: bool = True) -> Batch:
        """Draw `count` patches."""
        batch = self._sampler.draw(count, rng, labelled)
        if self._transform is not None:
            batch = transform_batch(batch, self._transform, rng)
        return batch.to(self._device)


@dataclass(frozen=True)
class Supervised:
    """Dice and cross-entropy on labelled patches, with deep supervision where there is any."""

    draw: Callable[[np.random.Generator], Batch]

    def terms(self, network: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the one term."""
        batch = self.draw(rng)
        return {"supervised": deep_supervised(network(batch.image), batch.label, batch.weight)}

    def after_step(self, network: nn.Module, step: int) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Any]:
        """Return nothing: the network is all."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing."""


def supervised(drawer: Drawer, batch: int) -> Objective:
    """Learn from labelled patches alone."""
    return Supervised(lambda rng: drawer(batch, rng))


def with_mean_teacher(
    drawer: Drawer, batch: int, student: nn.Module, setting: Setting
) -> Objective:
    """Learn from labelled slices, and from unlabelled ones by agreement with a teacher."""
    params, options = setting.params.mean_teacher, setting.params.optimisation
    unlabelled = min(batch - 1, max(1, round(batch * params.unlabelled_share)))  # both kinds

    def draw(rng: np.random.Generator) -> tuple[Batch, Batch]:
        return drawer(batch - unlabelled, rng), drawer(unlabelled, rng, labelled=False)

    steps = options.epochs * options.steps_per_epoch
    return MeanTeacher(copy.deepcopy(student), draw, params, steps, dice_ce)
