"""A multi-planar U-Net (Laprade et al., 2021): planes of any orientation, few annotated voxels.

A 2D U-Net learns from planes through the imputed volume, by default at the voxels of acquired
slices alone: intensities may be synthetic, labels are not. It predicts a volume in several
orientations; their mean is the result.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from slicefill.params import InferenceParams, PredictionParams
from slicefill.params.base import Count
from slicefill.segmentation.engines import unet2d
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from lightning_fabric import Fabric
    from torch import nn

    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.segmentation.sampling import Sampler
    from slicefill.segmentation.training import Parts
    from slicefill.training.fit import Run

logger = logging.getLogger(__name__)


class Params(unet2d.Params):
    """The network as of `unet2d`, which voxels teach it, and in how many orientations it looks."""

    labels: Literal["acquired", "all"] = Field(
        description="which voxels teach: those of acquired slices, or synthetic labels, too"
    )
    roll: Literal["none", "any"] = Field(
        description="whether planes are turned and mirrored in themselves, too: for what has no up"
    )
    orientations: Count = Field(description="of a prediction: as many rotations, averaged")


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of scans, entry and optimisation (`EngineFile`)."""
    from slicefill.segmentation.training import network_fingerprint

    return network_fingerprint("multiplanar", data, params, setting)


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Train on planes (`EngineFile`)."""
    from slicefill.segmentation.objectives import supervised
    from slicefill.segmentation.training import train_network

    own = training_fingerprint(data, params, setting)
    designed = partial(design, params)
    made = train_network(data, setting, run, own, designed, supervised, _parts())
    return {"engine": "multiplanar", **made}


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Rebuild the trained network (`EngineFile`)."""
    from slicefill.segmentation.training import load_network

    return load_network(checkpoint, segmentation, _parts())


def design(params: Params, channels: int, data: "SegmentationData") -> dict[str, Any]:
    """Design the network and the pitch of its planes, the finest of the median spacing.

    Reads all training scans.

    Returns:
        Plain values, kept in the checkpoint.
    """
    import numpy as np

    spacings = [promise.make().spacing for promise in data.training.values()]
    return {
        **unet2d.design(params, channels, data),
        "pitch": float(np.median(spacings, axis=0).min()),
        "labels": params.labels,
        "roll": params.roll,
        "orientations": params.orientations,
    }


def _parts() -> "Parts":
    from slicefill.segmentation.training import Parts

    return Parts(sampler=_sampler, predictor=_predictor)


def _sampler(design: dict[str, Any], data: "SegmentationData", setting: "Setting") -> "Sampler":
    from slicefill.segmentation.engines.multiplanar.planes import PlaneSampler, acquired_labels_only
    from slicefill.segmentation.training import drawing_of

    if setting.params.optimisation.lesions is not None:
        logger.warning("multiplanar draws planes: `lesions` is for slices and blocks, and not used")
    scans = dict(data.training)
    if design["labels"] == "acquired":
        scans = {case: acquired_labels_only(promise) for case, promise in scans.items()}
    return PlaneSampler(scans, drawing_of(design, data, setting), design["pitch"], design["roll"])


def _predictor(
    design: dict[str, Any], fabric: "Fabric", network: "nn.Module", params: InferenceParams
) -> "Predictor":
    from slicefill.segmentation.engines.multiplanar.planes import fuse_planes
    from slicefill.segmentation.training import predict_patches

    flat = predict_patches(design, fabric, network, params)
    return fuse_planes(flat, design["pitch"], design["orientations"], design["roll"])
