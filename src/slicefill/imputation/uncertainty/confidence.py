"""Confidence is 1 - the expected error; the model abstains where a fallback method expects less."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.infer import FlowImputer, impute_by_flow
from slicefill.imputation.uncertainty.error_model import ErrorModel
from slicefill.imputation.uncertainty.evidence import (
    METHODS,
    MODEL,
    Evidence,
    Imputed,
    cycle_error,
    gather_evidence,
)
from slicefill.params.imputation import ConfidenceParams
from slicefill.types import Checkpoint, Stack, SyntheticSlices


@dataclass(frozen=True)
class ErrorCalibration:
    """The error models of a calibrated network, and when they replace its values.

    Attributes:
        fitted: The entry `confidence` of a checkpoint, as `calibrate` made it.
        params: When to abstain, and whether acquired slices are predicted back.
    """

    fitted: Mapping[str, Any]
    params: ConfidenceParams

    def uses_cycle(self, stack: Stack) -> bool:
        """Whether acquired slices are predicted back; of two slices none can be."""
        return self.params.cycle and len(stack.image) > 2

    def error_models(self, stack: Stack) -> dict[str, ErrorModel]:
        """Return the error models of the network and of the fallback methods."""
        kind = "with_cycle" if self.uses_cycle(stack) else "without_cycle"
        return {name: ErrorModel(**values) for name, values in self.fitted[kind].items()}


def load_calibration(checkpoint: Checkpoint, params: ConfidenceParams) -> ErrorCalibration | None:
    """Read the calibration of a model; None if it has none."""
    return (
        ErrorCalibration(checkpoint["confidence"], params) if "confidence" in checkpoint else None
    )


def impute_with_confidence(
    imputer: FlowImputer, calibration: ErrorCalibration, stack: Stack, positions: Sequence[float]
) -> SyntheticSlices:
    """Impute a stack, predict the error of every voxel, abstain where it is large.

    Args:
        imputer: The model.
        calibration: Of this model.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.

    Returns:
        As `impute_by_flow`, but that confidence is 1 - the expected absolute error of what the
        voxel holds. Where the model's would be below the threshold and a fallback method expects
        less than `margin` times its error, the image has the value of the fallback method, in all
        channels, if all their values lie within the window. Labels are the model's.
    """
    synthetic = impute_by_flow(imputer, stack, positions)
    if not positions:
        return synthetic
    cycle = cycle_error(imputer, stack, synthetic) if calibration.uses_cycle(stack) else None
    smoothing, models = calibration.fitted["smoothing"], calibration.error_models(stack)
    confidence, abstained = (
        np.empty_like(synthetic.confidence),
        np.zeros(synthetic.confidence.shape, bool),
    )
    for found in gather_evidence(Imputed(imputer, stack, synthetic, positions, smoothing, cycle)):
        error, chosen = _choose(found, models, calibration.params)
        box, nothing = found.box, float(models[MODEL].errors[0])
        confidence[found.intervals] = 1 - box.paste(error, nothing).cpu().numpy()
        abstained[found.intervals] = box.paste(chosen > 0).cpu().numpy()
        box.cut(torch.from_numpy(synthetic.image[found.intervals])).copy_(_take(found, chosen))
    return replace(
        synthetic, confidence=confidence, measure="expected_error", error=None, abstained=abstained
    )


def _choose(
    found: Evidence, models: Mapping[str, ErrorModel], params: ConfidenceParams
) -> tuple[Tensor, Tensor]:
    """Return the expected error of the method chosen and its place in `METHODS`, `(G, N, h, w)`."""
    errors = torch.stack([models[name].expect(found.features) for name in METHODS])
    own, (least, best) = errors[0], errors[1:].min(0)
    replaced = found.visible & (own > 1 - params.threshold) & (least < params.margin * own)
    return torch.where(replaced, least, own), torch.where(replaced, best + 1, 0)


def _take(found: Evidence, chosen: Tensor) -> Tensor:
    """Take every voxel from the method chosen there, `(G, N, C, h, w)`."""
    taken = found.values[MODEL].clone()
    for position, name in enumerate(METHODS):
        taken = torch.where((chosen == position)[:, :, None], found.values[name], taken)
    return taken
