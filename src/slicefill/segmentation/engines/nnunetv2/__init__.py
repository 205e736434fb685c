"""The nnU-Net v2 library itself (Isensee et al., 2021), where it is installed."""

from typing import TYPE_CHECKING

from slicefill.fingerprint import fingerprint
from slicefill.params import PredictionParams
from slicefill.segmentation.engines.nnunetv2.params import Params
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.training.fit import Run


__all__ = ["Params", "load", "train", "training_fingerprint"]


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


def load(
    checkpoint: Checkpoint, params: Params | None, segmentation: PredictionParams
) -> "Predictor":
    """Rebuild the trained network without files (`EngineFile`)."""
    from slicefill.segmentation.engines.nnunetv2.nnunet import load_nnunet

    return load_nnunet(checkpoint, segmentation)
