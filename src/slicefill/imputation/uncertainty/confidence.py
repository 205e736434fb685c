"""Confidence as an expected error, and abstention where a classical method promises less of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.infer import Engine, impute_by_flow
from slicefill.imputation.uncertainty.cycle import cycle_error
from slicefill.imputation.uncertainty.error_model import Estimate
from slicefill.imputation.uncertainty.evidence import METHODS, MODEL, Evidence, Imputed, gather
from slicefill.params import ConfidenceParams
from slicefill.types import Checkpoint, Stack, SyntheticSlices


@dataclass(frozen=True)
class Judge:
    """What a calibration and the user's wishes make of an imputation.

    Attributes:
        calibration: The entry `confidence` of a checkpoint.
        params: When to abstain, and whether acquired slices are predicted back.
    """

    calibration: Mapping[str, Any]
    params: ConfidenceParams

    def looks_back(self, stack: Stack) -> bool:
        """Whether slices are predicted back; of two slices none can be."""
        return self.params.cycle and len(stack.image) > 2

    def estimates(self, stack: Stack) -> dict[str, Estimate]:
        """Estimates of the error of the model and of the classical methods."""
        kind = "with_cycle" if self.looks_back(stack) else "without_cycle"
        return {name: Estimate(**values) for name, values in self.calibration[kind].items()}


def load_judge(checkpoint: Checkpoint, params: ConfidenceParams) -> Judge | None:
    """Read the calibration of a model; None if it has none."""
    return Judge(checkpoint["confidence"], params) if "confidence" in checkpoint else None


def impute_with_confidence(
    engine: Engine, judge: Judge, stack: Stack, positions: Sequence[float]
) -> SyntheticSlices:
    """Impute a stack, estimate the error of every voxel, abstain where it is large.

    Args:
        engine: The model.
        judge: Calibrated for this model.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.

    Returns:
        As `impute_by_flow`, but that confidence is 1 - the expected absolute error of what the
        voxel holds. Where the model's would be below the threshold and a classical method expects
        less than `margin` times its error, the image has the value of that method, in all channels,
        if all their values lie within the window. Labels are the model's.
    """
    synthetic = impute_by_flow(engine, stack, positions)
    if not positions:
        return synthetic
    cycle = cycle_error(engine, stack, synthetic) if judge.looks_back(stack) else None
    smoothing, estimates = judge.calibration["smoothing"], judge.estimates(stack)
    confidence, abstained = (
        np.empty_like(synthetic.confidence),
        np.zeros(synthetic.confidence.shape, bool),
    )
    for found in gather(Imputed(engine, stack, synthetic, positions, smoothing, cycle)):
        error, chosen = _settle(found, estimates, judge.params)
        box, nothing = found.box, float(estimates[MODEL].errors[0])
        confidence[found.intervals] = 1 - box.paste(error, nothing).cpu().numpy()
        abstained[found.intervals] = box.paste(chosen > 0).cpu().numpy()
        box.cut(torch.from_numpy(synthetic.image[found.intervals])).copy_(_take(found, chosen))
    return replace(
        synthetic, confidence=confidence, measure="expected_error", error=None, abstained=abstained
    )


def _settle(
    found: Evidence, estimates: Mapping[str, Estimate], params: ConfidenceParams
) -> tuple[Tensor, Tensor]:
    """Expected error of what is believed, and which of `METHODS` that is, `(G, N, h, w)`."""
    errors = torch.stack([estimates[name].expect(found.features) for name in METHODS])
    own, (least, best) = errors[0], errors[1:].min(0)
    yields = found.visible & (own > 1 - params.threshold) & (least < params.margin * own)
    return torch.where(yields, least, own), torch.where(yields, best + 1, 0)


def _take(found: Evidence, chosen: Tensor) -> Tensor:
    """Take every voxel from the method chosen there, `(G, N, C, h, w)`."""
    taken = found.values[MODEL].clone()
    for position, name in enumerate(METHODS):
        taken = torch.where((chosen == position)[:, :, None], found.values[name], taken)
    return taken
