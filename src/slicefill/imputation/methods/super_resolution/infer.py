"""Imputation of a stack by super-resolution across its slices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from slicefill.imputation.methods.super_resolution.networks import build_generator
from slicefill.imputation.methods.super_resolution.pairs import VIEWS, StackCache
from slicefill.imputation.methods.super_resolution.params import NetworkParams
from slicefill.types import Checkpoint, Floats, Stack, SyntheticSlices


@dataclass(frozen=True)
class SuperResolutionNetwork:
    """A trained network ready to impute.

    Attributes:
        network: `(B, C, D, W)` → `(B, C, D * R, W)`, in evaluation mode, on the device of
            `fabric`.
        channels: Image channels C.
        factor: R.
        fabric: Device and precision.
        batch_pixels: Most pixels of the result (slices × rows × columns) in one batch.
    """

    network: nn.Module
    channels: int
    factor: int
    fabric: Fabric
    batch_pixels: int


def load_network(
    checkpoint: Checkpoint, fabric: Fabric, batch_pixels: int
) -> SuperResolutionNetwork:
    """Rebuild a trained network."""
    channels, factor = checkpoint["channels"], checkpoint["factor"]
    shape = NetworkParams.model_validate(checkpoint["network"])
    network = build_generator(shape, channels, factor)
    network.load_state_dict(checkpoint["weights"])
    network = network.eval().to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SuperResolutionNetwork(network, channels, factor, fabric, batch_pixels)


def impute_by_super_resolution(
    model: SuperResolutionNetwork,
    stack: Stack,
    positions: Sequence[float],
    rng: np.random.Generator | None = None,
) -> SyntheticSlices:
    """Impute every interval of a stack, as EDSR, RCAN and ESRGAN do across slices.

    The network raises the resolution of all slices along the two in-plane directions (sagittal
    and coronal); both results are averaged. Row k * R + r of the result stands at r / R between
    acquired slices k and k + 1; the rows after the last acquired slice are dropped. There is no
    motion, so labels are not imputed.

    The network sees and makes intensities in [0, 1]: what lies beyond the window of the stack
    is cut off on the way in, in acquired slices too.

    Args:
        model: Trained for as many channels as the stack has.
        stack: At least two slices.
        positions: 1 / R … (R - 1) / R.
        rng: Not used: the network draws nothing.

    Returns:
        The synthetic slices with `acquired`, the acquired slices as the network changed them.
        Confidence is 1 - |difference of both directions| on the [0, 1] scale, averaged over
        channels.

    Raises:
        ValueError: If the network was trained for other positions or channels.
    """
    _require_fit(model, stack, positions)
    shown = torch.from_numpy(stack.normalised())
    rows, columns = (raise_resolution(model, shown, view) for view in VIEWS)
    confidence = (1 - (rows - columns).abs().mean(1)).clamp(0, 1)
    low, high = np.moveaxis(stack.window.astype(np.float32), 1, 0)[..., None, None]
    intensities = low + (high - low) * ((rows + columns) / 2).numpy()
    intervals = (len(shown), model.factor)
    by_interval = intensities.reshape(*intervals, *intensities.shape[1:])
    confidence_by_interval = confidence.numpy().reshape(*intervals, *confidence.shape[1:])
    return SyntheticSlices(
        by_interval[:-1, 1:], confidence_by_interval[:-1, 1:], acquired=by_interval[:, 0]
    )


@torch.no_grad()
def raise_resolution(model: SuperResolutionNetwork, shown: Tensor, view: str) -> Tensor:
    """Raise the resolution of a stack across slices, seen in one of `VIEWS`.

    Args:
        model: The network.
        shown: Intensities in [0, 1], `(D, C, H, W)`.
        view: A key of `VIEWS`.

    Returns:
        `(D * R, C, H, W)`, on the CPU, not clipped.
    """
    slices = shown.permute(VIEWS[view])
    size = max(1, model.batch_pixels // (slices[0, 0].numel() * model.factor))
    made = []
    for batch in torch.split(slices, size):
        given = batch.to(model.fabric.device).contiguous(memory_format=torch.channels_last)
        with model.fabric.autocast():
            made.append(model.network(given).float().cpu())
    return torch.cat(made).permute(*np.argsort(VIEWS[view]).tolist())


def _require_fit(model: SuperResolutionNetwork, stack: Stack, positions: Sequence[float]) -> None:
    expected = np.arange(1, model.factor) / model.factor
    if len(positions) != len(expected) or not np.allclose(positions, expected):
        msg = (
            f"the model was trained for ×{model.factor}: expected positions "
            f"{[round(t, 3) for t in expected.tolist()]}, got {[round(t, 3) for t in positions]}; "
            f"set the count of synthetic slices to {model.factor - 1}, or train for another factor"
        )
        raise ValueError(msg)
    depth, channels = stack.image.shape[:2]
    if depth < 2:
        msg = f"a stack of {depth} slice has no interval to impute: give at least 2 slices"
        raise ValueError(msg)
    if channels != model.channels:
        msg = (
            f"the model takes {model.channels} channels, the image has {channels}; train on such "
            "images or choose another method"
        )
        raise ValueError(msg)


_SLICES = 16  # of each view of a case are scored, evenly spaced
_DEAREST = 1e-6  # mean squared error counted for a perfect case: 60 dB


def validate(model: SuperResolutionNetwork, stacks: StackCache) -> dict[str, float]:
    """Score the rows between acquired ones, intensities in [0, 1].

    Each view is scored for itself; imputing averages both and comes out better.

    Returns:
        `validation/psnr` (dB, data range 1, higher is better), the mean over cases.
    """
    model.network.eval()
    errors = [squared_error(model, stacks[name]) for name in stacks.names]
    model.network.train()
    decibels = -10 * np.log10(np.maximum(errors, _DEAREST))
    return {"validation/psnr": float(decibels.mean())}


def squared_error(model: SuperResolutionNetwork, stack: Floats) -> float:
    """Mean squared error of the rows that were not acquired, over both views.

    Args:
        model: The network.
        stack: An isotropic case, `(D, C, H, W)` in [0, 1]; every R-th slice is given to the
            network. Slices after the last of them cannot be bracketed and do not count.
    """
    factor = model.factor
    last = (len(stack) - 1) // factor * factor
    removed = np.flatnonzero(np.arange(last) % factor)
    errors = []
    for view, (axis, *_) in VIEWS.items():
        some = np.linspace(0, stack.shape[axis] - 1, _SLICES).round().astype(int)
        sample = stack.take(np.unique(some), axis)
        made = raise_resolution(model, torch.from_numpy(sample[::factor].copy()), view).numpy()
        errors.append(np.square(made[removed] - sample[removed]).ravel())
    return float(np.concatenate(errors).mean())
