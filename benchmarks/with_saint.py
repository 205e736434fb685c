"""SAINT (Peng et al., CVPR 2020) imputes, zero-shot, with the weights of its wheel.

    pip install --no-deps --target ~/saint py-SAINT==1.7.0      # 13 MB, MIT; one file of it runs
    PYTHONPATH=~/saint python benchmarks/out_of_the_box.py --half development --methods saint linear

Its first stage alone: sagittal and coronal slices are up-sampled along z, and both results are
averaged; the second stage (a fusion, +0.2 dB in its paper) is left out, as its own command line is
for CUDA. Labels are those of `shape_matched`: SAINT has none.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slicefill.fingerprint import fingerprint
from slicefill.imputation.impute import Imputer
from slicefill.imputation.methods.classical import impute_classically
from slicefill.params import ImputationParams
from slicefill.params.base import HardwareParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Stack, SyntheticSlices

SAINT = "saint"
SCALINGS = ("minimum", "raw", "window")
"""What its network sees: intensities from 0 at the lowest, as they are, or the window as 0 to
`_SEEN`."""
_SEEN = 2000.0  # it was trained on CT whose lowest number was 0
_SIZE = {"G0": 64, "RDNkSize": 3, "RDNconfig": "C"}  # of the network whose weights are there
_AT_ONCE = 2**16  # pixels of a batch


def saint_imputer(params: ImputationParams, scaling: str = SCALINGS[0]) -> Imputer:
    """Prepare SAINT.

    Args:
        params: Its `window` is of one of the scalings, and of the confidence.
        scaling: One of `SCALINGS`; the first was best on development scans.

    Raises:
        SystemExit: If its wheel is not installed; says how.
    """
    network = load_network()
    own = fingerprint(SAINT, scaling, params.window)
    method = partial(impute, network, scaling, params)
    return Imputer(SAINT, SAINT, method, params.window, own)


def load_network() -> nn.Module:
    """Load the network of the first stage from its wheel, without the packages that it asks for."""
    found = importlib.util.find_spec("py_SAINT")
    if found is None or not found.submodule_search_locations:
        msg = (
            "the wheel py-SAINT is not there: `pip install --no-deps --target FOLDER "
            "py-SAINT==1.7.0`, then set PYTHONPATH=FOLDER"
        )
        raise SystemExit(msg)
    stage = Path(found.submodule_search_locations[0]) / "STAGE1"
    spec = importlib.util.spec_from_file_location(SAINT, stage / "model" / "meta_multi.py")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.make_model(SimpleNamespace(**_SIZE))
    network.load_state_dict(torch.load(stage / "model_best.pt", "cpu", weights_only=True))
    return network.eval()


def impute(
    network: nn.Module,
    scaling: str,
    params: ImputationParams,
    stack: Stack,
    positions: Sequence[float],
    rng: np.random.Generator,
) -> SyntheticSlices:
    """Impute every interval of a stack of one channel, evenly."""
    plain = impute_classically("shape_matched", stack, positions, params.label_ends)
    low, width = _scale(stack, scaling)
    seen = torch.from_numpy((stack.image[:, 0] - low) / width)
    views = seen.permute(1, 2, 0), seen.permute(2, 1, 0)  # images (in-plane, z) along the other
    found = [up_sample(network, view, len(positions)) for view in views]
    made = (found[0].permute(3, 2, 0, 1) + found[1].permute(3, 2, 1, 0)) / 2
    return replace(plain, image=np.ascontiguousarray(made[:, :, None].numpy()) * width + low)


def _scale(stack: Stack, scaling: str) -> tuple[np.float32, np.float32]:
    """What becomes 0, and what 1."""
    if scaling == "raw":
        return np.float32(0), np.float32(1)
    if scaling == "minimum":
        return stack.image.min(), np.float32(1)
    low, high = stack.window[0].astype(np.float32)
    return low, (high - low) / np.float32(_SEEN)


@torch.no_grad()
def up_sample(network: nn.Module, view: Tensor, count: int) -> Tensor:
    """Make `count` pixels between those along z of every slice of a view.

    Args:
        network: Takes a slice with its two neighbours, those beyond the ends being 0.
        view: `(slices, pixels, D)`.
        count: Of the phases that it also makes, the first is the slice itself.

    Returns:
        `(slices, pixels, count, D - 1)`.
    """
    padded = torch.cat([torch.zeros_like(view[:1]), view, torch.zeros_like(view[:1])])
    seen = torch.stack([padded[:-2], padded[1:-1], padded[2:]], 1)
    apart = distances(count + 1)
    made = []
    with launch_fabric(HardwareParams()).autocast():  # bf16 where the processor computes in it
        for part in seen.split(max(1, _AT_ONCE // view[0].numel())):
            found = network(part, apart.expand(len(part), -1, -1, -1))
            made.append(found[:, 1:, :, :-1].float().permute(0, 2, 1, 3))
    return torch.cat(made)


def distances(factor: int) -> Tensor:
    """How far the pixels around are from those of every phase, `(1, factor, 3, 3)`, in pixels.

    Rows: the pixel before, the one at phase 0, the one after; columns: beside, in line, beside.
    """
    phases = torch.arange(float(factor))[:, None]
    along = torch.cat([phases + factor, phases, factor - phases], 1)
    across = torch.tensor([1.0, 0.0, 1.0])
    return torch.hypot(along[:, :, None], across)[None]
