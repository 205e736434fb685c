"""Super-resolution baselines that raise the resolution across slices: EDSR, RCAN, ESRGAN."""

from functools import partial
from typing import TYPE_CHECKING

from slicefill.imputation.methods import LearningData
from slicefill.imputation.methods.super_resolution.params import Params
from slicefill.params import ImputationParams
from slicefill.types import Checkpoint, Method

if TYPE_CHECKING:  # brings torch
    from slicefill.training.fit import Run

__all__ = ["SECTION", "Params", "load", "train", "training_fingerprint"]
SECTION = "super_resolution"


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    """Rebuild a trained network on the device of `imputation.hardware` (`MethodFile`)."""
    from slicefill.imputation.methods.super_resolution.infer import (
        impute_by_super_resolution,
        load_network,
    )
    from slicefill.training.hardware import launch_fabric

    assert checkpoint is not None
    fabric = launch_fabric(imputation.hardware)
    network = load_network(checkpoint, fabric, imputation.batch_pixels)
    return partial(impute_by_super_resolution, network)


def train(data: LearningData, params: Params, run: "Run") -> Checkpoint:
    """Train on the isotropic cases of the training subjects (`MethodFile`)."""
    from slicefill.imputation.methods.super_resolution.training import train_network
    from slicefill.ingestion.splits import by_split

    parts = by_split(data.isotropic, data.splits)
    return train_network(parts["train"], parts["validation"], params, run)


def training_fingerprint(data: LearningData, params: Params) -> str:
    """Return the fingerprint of the cases and of every number (`MethodFile`)."""
    from slicefill.imputation.methods.super_resolution.training import network_fingerprint
    from slicefill.ingestion.splits import by_split

    parts = by_split(data.isotropic, data.splits)
    return network_fingerprint(parts["train"], parts["validation"], params)
