"""nnU-Net's architecture in 3D (Isensee et al., 2021): kernels and strides follow the spacing."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from slicefill.params import PredictionParams
from slicefill.params.base import Count
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.training.fit import Run


class Params(BaseParams):
    """Size of the network and of what it sees at once; nnU-Net: width 32, widest 320."""

    width: Annotated[int, Field(ge=4)] = Field(description="channels of the first level")
    widest: Annotated[int, Field(ge=4)] = Field(description="most channels of a level")
    patch: tuple[Count, Count, Count] = Field(description="voxels: slices, rows, columns")
    deep_supervision: bool = Field(description="losses at lower resolutions too")


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of scans, entry, optimisation and windows (`EngineFile`)."""
    from slicefill.segmentation.training import network_fingerprint

    windows = setting.params.inference.windows  # that validation predicts in
    return network_fingerprint("dynunet3d", data, params, setting, windows)


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Train on labelled blocks (`EngineFile`)."""
    from slicefill.segmentation.objectives import supervised
    from slicefill.segmentation.training import train_network

    own = training_fingerprint(data, params, setting)
    made = train_network(data, setting, run, own, partial(design, params), supervised)
    return {"engine": "dynunet3d", **made}


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Rebuild the trained network (`EngineFile`)."""
    from slicefill.segmentation.training import load_network

    return load_network(checkpoint, segmentation)


def design(params: Params, channels: int, data: "SegmentationData") -> dict[str, Any]:
    """Design the network for the median spacing and size of the training scans; reads them all.

    Returns:
        Plain values, kept in the checkpoint.
    """
    from slicefill.segmentation.planning import fit_patch, plan_for

    levels, patch = plan_for(data, params.patch)
    return {
        "dims": 3,
        "channels": channels,
        "classes": len(data.classes),
        "width": params.width,
        "widest": params.widest,
        "deep_supervision": params.deep_supervision,
        "kernels": [list(kernel) for kernel in levels.kernels],
        "strides": [list(stride) for stride in levels.strides],
        "patch": list(fit_patch(patch, levels)),
    }
