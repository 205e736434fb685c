"""What segmentation engines share: scans, settings, predictors, batches of patches, objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.scans import Scan, ScanPromise
from slicefill.types import Floats

if TYPE_CHECKING:  # bring torch
    import torch
    from torch import Tensor, nn

    from slicefill.training.fit import State


@dataclass(frozen=True)
class SegmentationData:
    """Scans for training and for validation (other subjects), by case.

    Attributes:
        training: What networks learn from.
        validation: Scored on acquired slices after every epoch.
        classes: Ids in label maps, background first; a network predicts their indices.
    """

    training: Mapping[str, ScanPromise]
    validation: Mapping[str, ScanPromise]
    classes: tuple[int, ...]

    @property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """Those of the scans, by part and case."""
        parts = {"training": self.training, "validation": self.validation}
        return {
            part: {case: scan.fingerprint for case, scan in scans.items()}
            for part, scans in parts.items()
        }


@dataclass(frozen=True)
class Setting:
    """What is set for all engines alike.

    Attributes:
        params: Optimisation, sliding window, hardware.
        augmentation: Transforms, and how often synthetic slices are drawn.
        seed: Of weights and of everything that is drawn.
    """

    params: SegmentationParams
    augmentation: AugmentationParams
    seed: int


Predictor = Callable[[Scan], Floats]
"""From a scan to class probabilities, `(K, D, H, W)`, float32, summing to 1 over K."""


@dataclass(frozen=True)
class PatchBatch:
    """Patches of scans, 2D `(B, C, h, w)` or 3D `(B, C, d, h, w)`.

    Attributes:
        image: Intensities in [0, 1], `(B, C, ...)`, float32.
        label: Class indices, `(B, 1, ...)`, int64.
        weight: Loss weight, `(B, 1, ...)`, float32; 0 where the label is unknown.
    """

    image: Tensor
    label: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> PatchBatch:
        """Move to a device."""
        return PatchBatch(self.image.to(device), self.label.to(device), self.weight.to(device))


class Objective:
    """What a network is trained towards. Most define `terms` alone: they keep no state."""

    def terms(self, network: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch and return the weighted terms, by name, whose sum is minimised."""
        raise NotImplementedError

    def after_step(self, network: nn.Module, step: int) -> None:
        """Do what follows an optimiser step."""

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs besides the network."""
        return {}

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
