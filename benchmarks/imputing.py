"""The volume of the imputation benchmark, and two ways to impute it with one network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
import torch
from made_case import body
from read_conf import read_parameters
from scipy.ndimage import gaussian_filter

from slicefill.imputation.imputers import Imputer, learned_imputer
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.params import ImputationParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint, Stack, SyntheticSlices, Volume


@dataclass(frozen=True)
class Setting:
    """Settings of a measurement.

    Attributes:
        size: Voxels of the volume, slices last.
        factor: Slice spacing over pixel spacing; factor - 1 slices impute an interval.
        width: Of the flow network.
        depth: Of the flow network.
        threads: Of every process that measures.
    """

    size: tuple[int, int, int]
    factor: int
    width: int
    depth: int
    threads: int


def make_scan(setting: Setting) -> Volume:
    """Make smooth blobs in an ellipsoid on a background of zeros, int16; deterministic."""
    noise = np.random.default_rng(0).standard_normal(setting.size)
    blobs = gaussian_filter(noise, (4, 4, 1.5))
    stored = (body(setting.size) * (500 + 150 * blobs / blobs.std()).clip(50)).astype(np.int16)
    image = nib.Nifti1Image(stored, np.diag([1.0, 1.0, setting.factor, 1.0]))
    return Volume(stored, image.header)


def make_checkpoint(setting: Setting) -> Checkpoint:
    """Make the paper's network with random weights that give motions of about a pixel."""
    params = base_training(setting)
    torch.manual_seed(0)
    model = SynthesisModel(1, params.network, params.parts)
    torch.nn.init.normal_(model.flow_network.out.weight, std=1.0)
    return {
        "kind": "slice_imputation",
        "weights": model.state_dict(),
        "network": params.network.model_dump(),
        "parts": params.parts.model_dump(),
        "window": params.window.model_dump(),
        "channels": 1,
    }


def base_training(setting: Setting, **optimisation: int) -> SynthesisParams:
    """Parameters as in conf/base, with changes to the optimisation, on the CPU."""
    values = read_parameters("base")["synthesis"]
    values["network"] |= {"width": setting.width, "depth": setting.depth}
    values["hardware"] = {"accelerator": "cpu"}
    values["optimisation"] |= optimisation
    return SynthesisParams(**values)


def base_params(factor: int, **changes: Any) -> ImputationParams:
    """Parameters as in conf/base, factor - 1 slices per interval, on the CPU, without ensemble."""
    values = read_parameters("base")["imputation"]
    values |= {"hardware": {"accelerator": "cpu"}, "ensemble": False}
    values |= {"count": factor - 1, "target_spacing": None}
    return ImputationParams(**{**values, **changes})


def make_imputer(variant: str, checkpoint: Checkpoint, params: ImputationParams) -> Imputer:
    """Make the method of a variant: `slicefill` as users run it, or `plain`."""
    ours = learned_imputer(variant, checkpoint, params)
    if variant == "slicefill":
        return ours
    model = load_model(checkpoint)
    return replace(ours, method=lambda stack, at, _: impute_pair_by_pair(model, stack, at))


def our_precision(params: ImputationParams) -> str:
    """Return the precision that `hardware.precision` selects on this machine."""
    with launch_fabric(params.hardware).autocast():
        return "bf16" if torch.is_autocast_enabled("cpu") else "fp32"


@torch.no_grad()
def impute_pair_by_pair(
    model: SynthesisModel, stack: Stack, positions: Sequence[float]
) -> SyntheticSlices:
    """Impute one pair at a time, in fp32, on whole slices, as a straightforward program."""
    shown, stored = torch.from_numpy(stack.normalised()), torch.from_numpy(stack.image)
    shape = (len(shown) - 1, len(positions), *shown.shape[1:])
    image, confidence = np.empty(shape, np.float32), np.empty((*shape[:2], *shape[3:]), np.float32)
    for interval in range(len(shown) - 1):
        first, last = slice(interval, interval + 1), slice(interval + 1, interval + 2)
        flows = model.flows(Pair(shown[first], shown[last]))
        for n, t in enumerate(positions):
            motion = model.motion(Pair(shown[first], shown[last]), flows, torch.tensor(t))
            image[interval, n] = motion.blend(stored[first], stored[last])[0].numpy()
            confidence[interval, n] = motion.agreement(shown[first], shown[last])[0].numpy()
    return SyntheticSlices(image, confidence)
