"""Joint training (FS-Net; Guo et al., 2021): acquired slices teach, imputed ones with a weight.

The loss is that of acquired slices plus `auxiliary_weight` times that of synthetic ones, patches of
both drawn apart from each other. With weight 0 and without branches the training is that of
`unet2d` on acquired slices alone, to the bit.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from slicefill.params import PredictionParams
from slicefill.params.base import Weight
from slicefill.segmentation.engines import unet2d
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from torch import nn

    from slicefill.segmentation.interface import (
        Objective,
        Predictor,
        SegmentationData,
        Setting,
    )
    from slicefill.segmentation.objectives import Drawer, Total
    from slicefill.segmentation.sampling import Sampler
    from slicefill.segmentation.training import Parts
    from slicefill.training.fit import Run


class Params(unet2d.Params):
    """The network as of `unet2d`, and how far synthetic slices are trusted."""

    auxiliary_weight: Weight = Field(
        description="of the loss of synthetic slices; that of acquired ones has 1. 0: none is drawn"
    )
    branches: bool = Field(
        description="acquired and synthetic slices enter by a convolution and channel attention of "
        "their own"
    )
    joint_labels: bool = Field(description="objects in synthetic slices are classes of their own")


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of scans, entry and optimisation (`EngineFile`)."""
    from slicefill.segmentation.training import network_fingerprint

    return network_fingerprint("joint", data, params, setting)


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Train on acquired slices and, with a weight, on synthetic ones (`EngineFile`)."""
    from slicefill.segmentation.training import train_network

    own = training_fingerprint(data, params, setting)
    towards = partial(_objective, params, data)
    made = train_network(data, setting, run, own, partial(design, params), towards, _parts())
    return {"engine": "joint", **made}


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Rebuild the trained network (`EngineFile`); slices enter as acquired ones do."""
    from slicefill.segmentation.training import load_network

    return load_network(checkpoint, segmentation, _parts())


def design(params: Params, channels: int, data: "SegmentationData") -> dict[str, Any]:
    """Design the network: plain values, kept in the checkpoint."""
    learns = params.auxiliary_weight > 0
    return {
        **unet2d.design(params, channels, data),
        "sources": 2 if learns else 1,
        "branches": params.branches,
        "joint_labels": params.joint_labels and learns,
    }


def _parts() -> "Parts":
    from slicefill.segmentation.training import Parts

    return Parts(build=_build, sampler=_sampler)


def _build(design: dict[str, Any]) -> "nn.Module":
    from slicefill.segmentation.engines.joint.network import JointNetwork

    return JointNetwork(design)


def _sampler(design: dict[str, Any], data: "SegmentationData", setting: "Setting") -> "Sampler":
    from dataclasses import replace

    from slicefill.segmentation.engines.joint.sources import acquired_only
    from slicefill.segmentation.training import sample_patches

    scans = {case: acquired_only(promise) for case, promise in data.training.items()}
    return sample_patches(design, replace(data, training=scans), setting)


def _objective(
    params: Params,
    data: "SegmentationData",
    drawer: "Drawer",
    total: "Total",
    network: "nn.Module",
    setting: "Setting",
) -> "Objective":
    from dataclasses import replace

    from slicefill.segmentation.engines.joint.sources import Joint, synthetic_only
    from slicefill.segmentation.objectives import supervised
    from slicefill.segmentation.training import sample_patches

    if params.auxiliary_weight == 0:
        return supervised(drawer, total, network, setting)
    if all(promise.make().acquired.all() for promise in data.training.values()):
        msg = (
            "joint: expected scans with synthetic slices, got acquired ones alone: name the method "
            "that imputes (imputed_by), or set auxiliary_weight to 0"
        )
        raise ValueError(msg)
    scans = {case: synthetic_only(promise) for case, promise in data.training.items()}
    channels = data.training[min(data.training)].make().image.shape[1]
    plan = design(params, channels, data)
    sampler = sample_patches(plan, replace(data, training=scans), setting)
    batch = setting.params.optimisation.batch
    return Joint(
        lambda rng: drawer(batch, rng),
        lambda rng: drawer.of(sampler)(batch, rng),
        total,
        params.auxiliary_weight,
        len(data.classes) - 1 if plan["joint_labels"] else 0,
        setting.seed,
    )
