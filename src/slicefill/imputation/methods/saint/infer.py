"""The networks of SAINT, taken from its wheel, and imputation of stacks by them."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slicefill.fingerprint import fingerprint, weights_fingerprint
from slicefill.params import ImputationParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Floats, Stack

_PACKAGE = "py_SAINT"
_SIZES = {"G0": 64, "RDNkSize": 3, "RDNconfig": "C", "scale": [1]}  # of the weights that are there
_SHOWN, _SEEN = (0.5, 99.5), 2000.0  # these percentiles it sees as 0 and as this, as of CT
_TINY = 1e-6
_PIXELS = 8  # of `batch_pixels` that one of its pixels counts as: it has more channels


@dataclass(frozen=True)
class Saint:
    """SAINT, ready to impute; networks are in evaluation mode, on `device`.

    They compute in single precision: half of it rounds to hundredths of the window.

    Attributes:
        up_sampling: `(B, 3, h, D)`, a slice of a view between its two neighbours, and
            `distances` → `(B, N, h, D)`.
        fusion: `(B, 2, H, W, 1)`, a slice as both views show it, the one of rows first →
            `(B, 1, H, W, 1)`.
        device: Where it runs.
        weights: SHA-256 of the weights of both networks.
        at_once: Most pixels of a batch.
    """

    up_sampling: nn.Module
    fusion: nn.Module
    device: torch.device
    weights: str
    at_once: int


def load_saint(params: ImputationParams) -> Saint:
    """Put SAINT on the device of `params.hardware`.

    Raises:
        ValueError: If its wheel is not installed; says how.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        msg = (
            "saint: expected the package py-SAINT, which has its weights, found none; "
            "pip install 'slicefill[saint]'"
        )
        raise ValueError(msg)
    folder, device = (
        Path(found.submodule_search_locations[0]),
        launch_fabric(params.hardware).device,
    )
    networks = [_load(folder / stage) for stage in ("STAGE1", "STAGE2")]
    weights = fingerprint(*(weights_fingerprint(network.state_dict()) for network in networks))
    first, second = (network.to(device) for network in networks)
    return Saint(first, second, device, weights, params.batch_pixels // _PIXELS)


def _load(stage: Path) -> nn.Module:
    module: Any = importlib.import_module(f"{_PACKAGE}.{stage.name}.model.meta_multi")
    network: nn.Module = module.make_model(SimpleNamespace(**_SIZES))
    network.load_state_dict(torch.load(stage / "model_best.pt", "cpu", weights_only=True))
    return network.eval()


def impute_by_saint(saint: Saint, stack: Stack, positions: Sequence[float]) -> Floats:
    """Impute the image of every interval: what both views show, fused slice by slice.

    Args:
        saint: It sees one channel at a time.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.

    Returns:
        `(D - 1, N, C, H, W)`, intensities.
    """
    depth, channels, *size = stack.image.shape
    made = np.empty((depth - 1, len(positions), channels, *size), np.float32)
    if not positions:
        return made
    for channel in range(channels):
        intensities = stack.image[:, channel]
        low, high = np.percentile(intensities, _SHOWN).astype(np.float32)
        width = max(high - low, np.float32(_TINY)) / np.float32(_SEEN)
        seen = torch.from_numpy((intensities - low) / width)
        rows = up_sample(saint, seen.permute(1, 2, 0), positions).permute(3, 2, 0, 1)
        columns = up_sample(saint, seen.permute(2, 1, 0), positions).permute(3, 2, 1, 0)
        for own, *views in zip(made[:, :, channel], rows, columns, strict=True):
            own[:] = fuse(saint, *views).numpy() * width + low
    return made


@torch.no_grad()
def up_sample(saint: Saint, view: Tensor, positions: Sequence[float]) -> Tensor:
    """Make what lies between the pixels of the last axis, in every slice of a view.

    Args:
        saint: Its first network.
        view: `(slices, pixels, D)`; beyond its ends the network sees 0.
        positions: N values of t.

    Returns:
        `(slices, pixels, N, D - 1)`.
    """
    beyond = torch.zeros_like(view[:1])
    padded = torch.cat([beyond, view, beyond])
    seen = torch.stack([padded[:-2], padded[1:-1], padded[2:]], 1)
    apart, made = distances(positions).to(saint.device), []
    for part in torch.split(seen, max(1, saint.at_once // view[0].numel())):
        found = saint.up_sampling(part.to(saint.device), apart.expand(len(part), -1, -1, -1))
        made.append(found[..., :-1].cpu().permute(0, 2, 1, 3))
    return torch.cat(made)


@torch.no_grad()
def fuse(saint: Saint, rows: Tensor, columns: Tensor) -> Tensor:
    """Fuse what was made in slices of a row each with what was made in slices of a column each.

    Args:
        saint: Its second network.
        rows: The slices of an interval, `(N, H, W)`.
        columns: The same shape.

    Returns:
        The same shape.
    """
    seen = torch.stack([rows, columns], 1)[..., None]
    parts = torch.split(seen, max(1, saint.at_once // rows[0].numel()))
    made = [saint.fusion(part.to(saint.device)).cpu() for part in parts]
    return torch.cat(made)[:, 0, ..., 0]


def distances(positions: Sequence[float]) -> Tensor:
    """How far the pixels around are from those at every t, `(1, N, 3, 3)`, in fine pixels.

    So many fine pixels are as long as an interval as even positions would make of it, but no fewer
    than three, of which half an interval comes out better than of two (0.2 to 0.7 dB in hippocampus
    and CT ×2), and no more than the six that it learned. Rows: the pixel before, the one at t = 0,
    the one after; columns: beside, in line, beside.
    """
    factor = min(max(len(positions) + 1, 3), 6)
    phases = torch.tensor(positions, dtype=torch.float32)[:, None] * factor
    along = torch.cat([phases + factor, phases, factor - phases], 1)
    across = torch.tensor([1.0, 0.0, 1.0])
    return torch.hypot(along[:, :, None], across)[None]
