"""Imputation of stacks by view fusion: the shipped network first, then what is fused with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.infer import FlowImputer, impute_by_flow
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.methods.view_fusion.candidates import find_flows, fixed_candidates
from slicefill.imputation.methods.view_fusion.model import ViewFusion, load_fusion
from slicefill.params import ImputationParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint, Floats, Stack, SyntheticSlices

_FEWEST = 16  # intervals at once, so that their context does not outweigh them
_BEYOND = 0.2  # widths of the window by which a candidate may leave it


@dataclass(frozen=True)
class FusionImputer:
    """A trained network, ready to impute.

    Attributes:
        model: In evaluation mode, on the device of `fabric`.
        flow: Its motion network, which makes labels and one of the candidates.
        fabric: Device and precision.
        batch_pixels: Most pixels (intervals × rows × columns) at once.
    """

    model: ViewFusion
    flow: FlowImputer
    fabric: Fabric
    batch_pixels: int


def load_fusion_imputer(checkpoint: Checkpoint, params: ImputationParams) -> FusionImputer:
    """Put a trained network on the device of `params.hardware`."""
    fabric = launch_fabric(params.hardware)
    model = load_fusion(checkpoint).to(fabric.device)
    size, rule = params.batch_pixels, LabelRule.of(params)
    return FusionImputer(
        model, FlowImputer(model.motion, fabric, size, rule, params.ensemble), fabric, size
    )


@torch.no_grad()
def impute_by_fusion(
    imputer: FusionImputer, stack: Stack, positions: Sequence[float]
) -> SyntheticSlices:
    """Impute every interval of a stack.

    Labels and all channels but the first are those of the motion network. What it makes of
    intensities beyond the window is kept.

    Args:
        imputer: Its networks have one channel.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.

    Returns:
        As `impute_by_flow`; confidence is 1 - the expected absolute error.
    """
    synthetic = impute_by_flow(imputer.flow, stack, positions)
    if not positions:
        return synthetic
    shown, (low, high) = stack.normalised()[:, 0], stack.window[0].astype(np.float32)
    image, errors = synthetic.image.copy(), np.empty_like(synthetic.confidence)
    flows = find_flows(shown)
    for intervals, between in _features(imputer, shown):
        for n, t in enumerate(positions):
            moved = (synthetic.image[intervals, n, 0] - low) / (high - low)
            within = np.clip(moved, -_BEYOND, 1 + _BEYOND)
            fixed = fixed_candidates(shown, [t] * len(within), flows, intervals.start)
            made, error = _fuse(imputer, between, np.concatenate([fixed, within[:, None]], 1), t)
            image[intervals, n, 0] = low + (high - low) * (made + moved - within)
            errors[intervals, n] = error
    confidence = np.clip(1 - errors, 0, 1)
    return replace(
        synthetic, image=image, confidence=confidence, measure="expected_error", error=errors
    )


def _features(imputer: FusionImputer, shown: Floats) -> Iterator[tuple[slice, Tensor]]:
    """Yield intervals and what the U-Net of their slices and those around them says of each."""
    model, depth = imputer.model, len(shown)
    at_once = max(_FEWEST, imputer.batch_pixels // shown[0].size)
    padded = _padded(torch.from_numpy(shown)[None, None], model.multiple)
    for first in range(0, depth - 1, at_once):
        last = min(first + at_once, depth - 1)
        start, stop = max(0, first - model.reach), min(depth, last + 1 + model.reach)
        part = padded[:, :, start:stop].to(imputer.fabric.device)
        with imputer.fabric.autocast():
            yield slice(first, last), model.between(part)[first - start : last - start]


def _fuse(
    imputer: FusionImputer, between: Tensor, candidates: Floats, t: float
) -> tuple[Floats, Floats]:
    """Fuse candidates `(B, 4, H, W)`; slices and expected errors, `(B, H, W)`."""
    height, width = candidates.shape[-2:]
    seen = _padded(torch.from_numpy(candidates).to(between.device), imputer.model.multiple)
    with imputer.fabric.autocast():
        found = imputer.model.fuse(between, seen, seen.new_full((len(seen),), t))
    made, error = (each[:, 0, :height, :width].float().cpu().numpy() for each in found)
    return made, error


def _padded(slices: Tensor, multiple: int) -> Tensor:
    """Extend rows and columns by their edge to a multiple."""
    height, width = slices.shape[-2:]
    missing = (0, -width % multiple, 0, -height % multiple)
    flat = F.pad(slices.flatten(0, -4), missing, mode="replicate")
    return flat.view(*slices.shape[:-2], *flat.shape[-2:])
