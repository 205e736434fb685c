"""Networks that nnU-Net v2 has trained elsewhere: a folder of its results."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slicefill.geometry import slices_back, slices_first
from slicefill.params import PredictionParams
from slicefill.segmentation.engines.nnunetv2.nnunet import make_predictor
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.types import Floats

_FILES = ("plans.json", "dataset.json")
_NETWORK = "checkpoint_final.pth"
_EXAMPLE = "nnUNetTrainer__nnUNetPlans__3d_fullres"


def read_labels(folder: Path) -> dict[int, str]:
    """Read label names by id.

    Args:
        folder: Of nnU-Net's results, `<trainer>__<plans>__<configuration>`.

    Raises:
        ValueError: If it is no such folder, or a voxel may have several labels (regions).
    """
    labels = _read_dataset(folder)["labels"]
    if not all(isinstance(identity, int) for identity in labels.values()):
        msg = (
            f"{folder}: expected one label per voxel, got regions: {labels}; give a network that "
            "was trained on labels"
        )
        raise ValueError(msg)
    return {identity: name for name, identity in labels.items() if name != "ignore"}


def read_results(folder: Path, params: PredictionParams) -> Predictor:
    """Load a network that nnU-Net has trained elsewhere; of several folds the mean predicts.

    It sees a scan as it lies in its file, the axes in the order in which nnU-Net reads them,
    whichever of them is through-plane. nnU-Net unpickles its own checkpoints: open only those that
    you trust. It normalises images itself, so the scan should show its intensities
    (`augmentation.window: null`).

    Args:
        folder: Of its results, `<trainer>__<plans>__<configuration>`.
        params: Device, and overlap of windows.

    Raises:
        ModuleNotFoundError: If nnU-Net is not installed.
        ValueError: If it is no such folder, or no fold is trained to its end. A prediction raises
            it where a scan has other channels than the network learned from.
    """
    dataset = _read_dataset(folder)
    if not list(folder.glob(f"fold_*/{_NETWORK}")):
        found = sorted(path.relative_to(folder).as_posix() for path in folder.glob("fold_*/*.pth"))
        msg = (
            f"{folder}: expected fold_<n>/{_NETWORK} of at least one fold, got "
            f"{', '.join(found) or 'no checkpoint'}; finish the training (nnUNetv2_train … --c), "
            f"or copy the one that you want to {_NETWORK}"
        )
        raise ValueError(msg)
    channels = len(dataset.get("channel_names", dataset.get("modality", {})))

    def initialise(predictor: Any) -> None:
        predictor.initialize_from_trained_model_folder(str(folder), use_folds=None)

    predict_as_read = make_predictor(params, initialise)

    def predict(scan: Scan) -> Floats:
        if channels not in (0, scan.image.shape[1]):
            msg = (
                f"{folder}: expected {channels} channel(s), as nnU-Net learned from, got "
                f"{scan.image.shape[1]}: choose channels (ingestion.channel), or another network"
            )
            raise ValueError(msg)
        return _turn_back(predict_as_read(_as_read(scan)), scan.axis)

    return predict


def _read_dataset(folder: Path) -> dict[str, Any]:
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        msg = (
            f"{folder}: expected a folder of nnU-Net's results, such as {_EXAMPLE}, with "
            f"plans.json, dataset.json and folds; {', '.join(missing)} is missing"
        )
        raise ValueError(msg)
    dataset: dict[str, Any] = json.loads((folder / "dataset.json").read_text("utf-8"))
    return dataset


def _as_read(scan: Scan) -> Scan:
    """Order the axes as nnU-Net's readers do: that of the file which varies fastest is the last."""
    image = np.stack([slices_back(each, scan.axis).T for each in scan.image.swapaxes(0, 1)], 1)
    spacing = np.insert(scan.spacing[1:], scan.axis, scan.spacing[0])[::-1]
    return replace(scan, image=image, spacing=spacing)


def _turn_back(probabilities: Floats, axis: int) -> Floats:
    return np.stack([slices_first(each.T, axis) for each in probabilities])
