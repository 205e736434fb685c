"""Imputation of stacks in sagittal and coronal planes at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from slicefill.imputation.methods.reformatted.network import (
    PlaneNetwork,
    build_network,
    neighbouring,
)
from slicefill.params import ImputationParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint, Floats, Stack

_PIXELS = 32  # of `batch_pixels` that one of its pixels counts as: layers then fit a CPU's cache
_ROWS, _COLUMNS = 1, 2  # axes of slices `(D, H, W)` that a kind of plane does not contain


@dataclass(frozen=True)
class PlaneImputer:
    """A trained network, ready to impute.

    Attributes:
        network: In evaluation mode, on the device of `fabric`.
        fabric: Device and precision.
        batch_pixels: Most pixels (planes × acquired rows × pixels of a row) at once.
    """

    network: PlaneNetwork
    fabric: Fabric
    batch_pixels: int


def load_plane_imputer(checkpoint: Checkpoint, params: ImputationParams) -> PlaneImputer:
    """Put a trained network on the device of `params.hardware`."""
    fabric = launch_fabric(params.hardware)
    network = build_network(checkpoint).to(fabric.device)
    counted = _PIXELS if fabric.device.type == "cpu" else 1
    return PlaneImputer(network, fabric, params.batch_pixels // counted)


def impute_in_planes(imputer: PlaneImputer, stack: Stack, positions: Sequence[float]) -> Floats:
    """Impute the image of every interval: the mean of what both kinds of planes show.

    Args:
        imputer: Its network sees one channel at a time.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.

    Returns:
        `(D - 1, N, C, H, W)`, intensities.
    """
    depth, channels, *size = stack.image.shape
    made = np.zeros((depth - 1, len(positions), channels, *size), np.float32)
    if not positions:
        return made
    low, high = stack.window.astype(np.float32).T
    for channel in range(channels):
        width = high[channel] - low[channel]
        slices = (stack.image[:, channel] - low[channel]) / width
        for axis in (_ROWS, _COLUMNS):
            for planes, rows in _impute_planes(imputer, slices, positions, axis):
                _select(made[:, :, channel], axis + 1, planes)[:] += (width / 2) * rows
        made[:, :, channel] += low[channel]
    return made


@torch.no_grad()
def _impute_planes(
    imputer: PlaneImputer, slices: Floats, positions: Sequence[float], axis: int
) -> Iterator[tuple[slice, Floats]]:
    """Yield some planes and what lies between their rows, their own axis where it is in slices.

    Beyond the first and the last plane the network sees these once more.
    """
    count, beside = slices.shape[axis], imputer.network.planes // 2
    at_once = max(1, imputer.batch_pixels // (slices.size // count))
    for first in range(0, count, at_once):
        planes = slice(first, min(first + at_once, count))
        shown = np.arange(planes.start - beside, planes.stop + beside).clip(0, count - 1)
        cut = torch.from_numpy(np.moveaxis(slices.take(shown, axis), axis, 0))
        rows = neighbouring(cut.to(imputer.fabric.device), imputer.network.planes)
        with imputer.fabric.autocast():
            made: Tensor = imputer.network(rows, positions)
        yield planes, np.moveaxis(made.float().cpu().numpy(), 0, axis + 1)


def _select(values: Floats, axis: int, part: slice) -> Floats:
    """View a part of an array along one axis."""
    return values[(slice(None),) * axis + (part,)]
