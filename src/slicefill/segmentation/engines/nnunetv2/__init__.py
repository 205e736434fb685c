"""The nnU-Net v2 library itself (Isensee et al., 2021), where it is installed."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from slicefill.fingerprint import fingerprint
from slicefill.params import PredictionParams
from slicefill.params.base import Count
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.training.fit import Run


class Params(BaseParams):
    """What nnU-Net leaves to be chosen."""

    configuration: Literal["2d", "3d_fullres"] = Field(description="as nnU-Net calls it")
    trainer: str = Field(description="a published trainer class: it fixes the number of epochs")
    processes: Count = Field(description="of preprocessing, augmentation and export")


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of scans, entry, hardware and seed (`EngineFile`).

    nnU-Net has its own optimisation and augmentation.
    """
    return fingerprint(
        "nnunetv2", data.fingerprints, data.classes, params, setting.params.hardware, setting.seed
    )


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Let nnU-Net plan, preprocess and train (`EngineFile`)."""
    from slicefill.segmentation.engines.nnunetv2.nnunet import train_nnunet

    return train_nnunet(data, params, setting, run)


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Rebuild the trained network without files (`EngineFile`)."""
    from slicefill.segmentation.engines.nnunetv2.nnunet import load_nnunet

    return load_nnunet(checkpoint, segmentation)
