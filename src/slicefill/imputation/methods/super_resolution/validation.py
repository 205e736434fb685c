"""How good the rows are that were not acquired: PSNR on held-out cases."""

import numpy as np
import torch

from slicefill.imputation.methods.super_resolution.infer import (
    SuperResolutionNetwork,
    raise_resolution,
)
from slicefill.imputation.methods.super_resolution.pairs import VIEWS, StackCache
from slicefill.types import Floats

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
