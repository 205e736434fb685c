"""The two sources of a joint training, and its loss."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from slicefill.segmentation.interface import Objective, PatchBatch
from slicefill.segmentation.objectives import Total, dice_ce
from slicefill.segmentation.scans import Scan, ScanPromise
from slicefill.segmentation.subvoxel import widest_step
from slicefill.types import Lazy

Draw = Callable[[np.random.Generator], PatchBatch]


def acquired_only(promise: ScanPromise) -> ScanPromise:
    """Let a scan be its acquired slices, as if nothing had been imputed."""
    return Lazy(partial(_pick, promise, True), f"{promise.fingerprint}/acquired")


def synthetic_only(promise: ScanPromise) -> ScanPromise:
    """Let a scan be its synthetic slices; one that has none teaches nothing."""
    return Lazy(partial(_pick, promise, False), f"{promise.fingerprint}/synthetic")


def _pick(promise: ScanPromise, acquired: bool) -> Scan:
    scan = promise.make()
    kept = scan.acquired == acquired
    if not kept.any():
        return replace(scan, weight=np.zeros_like(scan.weight))
    parts = {name: getattr(scan, name)[kept] for name in ("image", "label", "weight", "acquired")}
    apart = widest_step(scan) if acquired else 1
    return replace(scan, **parts, spacing=scan.spacing * [apart, 1, 1])


@dataclass(frozen=True)
class Joint(Objective):
    """Loss of acquired slices plus a multiple of that of synthetic ones.

    Attributes:
        target: Draws acquired patches.
        auxiliary: Draws as many synthetic ones.
        total: As of `dice_ce`.
        weight: λ of the auxiliary loss.
        shift: Added to the class indices of objects in synthetic patches.
        seed: Of what is drawn of them: apart from all else, so that acquired patches are the same
            whatever the weight.
    """

    target: Draw
    auxiliary: Draw
    total: Total
    weight: float
    shift: int
    seed: int

    def terms(self, network: nn.Module, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return both terms, weighted."""
        target = self.target(rng)
        other = self.auxiliary(np.random.default_rng((self.seed, step, 1)))
        logits = network(torch.cat([target.image, other.image]), len(target.image))
        own, theirs = logits[: len(target.image)], logits[len(target.image) :]
        label = other.label + self.shift * (other.label > 0)
        return {
            "supervised": dice_ce(own, target.label, target.weight, self.total),
            "auxiliary": self.weight * dice_ce(theirs, label, other.weight, self.total),
        }
