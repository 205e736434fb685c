"""Scans as nnU-Net wants them on disk, and what it leaves there as a checkpoint."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from slicefill.segmentation.interface import SegmentationData
from slicefill.segmentation.scans import Scan
from slicefill.types import Checkpoint

logger = logging.getLogger(__name__)
DATASET = "Dataset001_slicefill"
ENDING = ".nii.gz"
LOGGED = {
    "train/loss": "train_losses",
    "validation/loss": "val_losses",
    "validation/pseudo_dice": "mean_fg_dice",
}
"""Our names of what nnU-Net logs in every epoch. Its pseudo Dice is taken over random patches."""


def export_raw(data: SegmentationData, folder: Path) -> dict[str, list[str]]:
    """Write a raw dataset: a file per scan and channel, label maps of class indices, dataset.json.

    Axes, in the order of nnU-Net's arrays, are slices, rows, columns. Voxels whose label is
    unknown (weight 0, or an id that is no class) get the label `ignore`; in validation scans so do
    synthetic slices, for networks are chosen and compared on acquired ones. Scans of which no
    label is known are left out.

    Args:
        data: Scans, read one at a time.
        folder: Where `imagesTr`, `labelsTr` and `dataset.json` are put.

    Returns:
        The cases written, as one fold of `splits_final.json`: `train` and `val`.

    Raises:
        ValueError: If there is nothing to train on, or nothing to validate with.
    """
    split: dict[str, list[str]] = {"train": [], "val": []}
    channels, unknown = 0, False
    for part, scans in (("train", data.training), ("val", data.validation)):
        for case, promise in sorted(scans.items()):
            scan = promise.make()
            label = _class_indices(scan, data.classes, acquired_only=part == "val")
            if (label == len(data.classes)).all():
                logger.warning("%s: no voxel has a known label: nnU-Net goes without it", case)
                continue
            _write_scan(scan, label, folder, case)
            channels = scan.image.shape[1]
            unknown = unknown or bool((label == len(data.classes)).any())
            split[part].append(case)
        if not split[part]:
            msg = (
                f"nnU-Net needs labelled cases to train on and to validate with, got none of "
                f"{len(scans)} for {part}: give cases with the ids of segmentation.label_names"
            )
            raise ValueError(msg)
    described = describe_dataset(channels, data.classes, unknown, sum(map(len, split.values())))
    _write_json(described, folder / "dataset.json")
    return split


def describe_dataset(
    channels: int, classes: Sequence[int], unknown: bool, cases: int
) -> dict[str, Any]:
    """Return the content of `dataset.json`.

    Args:
        channels: Of the images; every one is normalised by its mean and deviation, as scans come
            windowed whatever the modality.
        classes: Ids in label maps, background first.
        unknown: Whether the label after the last class, `ignore`, occurs.
        cases: How many there are.

    Example:
        >>> describe_dataset(1, (0, 5), True, 3)["labels"]
        {'background': 0, 'class 5': 1, 'ignore': 2}
    """
    labels = {f"class {identity}": index for index, identity in enumerate(classes) if index}
    return {
        "channel_names": {str(index): f"channel {index}" for index in range(channels)},
        "labels": {"background": 0, **labels, **({"ignore": len(classes)} if unknown else {})},
        "numTraining": cases,
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
    }


def write_split(split: dict[str, list[str]], work: Path) -> None:
    """Make our division into training and validation nnU-Net's fold 0."""
    _write_json([split], work / "nnUNet_preprocessed" / DATASET / "splits_final.json")


def collect_checkpoint(work: Path) -> Checkpoint:
    """Gather what predicting needs, and the history, from the folder of nnU-Net's results.

    Returns:
        Tensors and plain values; the weights are those of the last epoch, which nnU-Net itself
        predicts with.

    Raises:
        FileNotFoundError: If the trainer left no network.
    """
    found = sorted((work / "nnUNet_results" / DATASET).glob("*/fold_0/checkpoint_final.pth"))
    if not found:
        msg = (
            "nnU-Net left no checkpoint_final.pth: expected a trainer that writes one; "
            "benchmarking trainers do not: set segmentation.engines.nnunetv2.trainer to another"
        )
        raise FileNotFoundError(msg)
    fold = found[0].parent
    # nnU-Net pickles numpy scalars and a torch.device; the file was written a moment ago, by us.
    made = torch.load(found[0], map_location="cpu", weights_only=False)
    axes = made["inference_allowed_mirroring_axes"]
    summary = json.loads((fold / "validation" / "summary.json").read_text())
    return {
        "weights": dict(made["network_weights"]),
        "plans": json.loads((fold.parent / "plans.json").read_text()),
        "dataset": json.loads((fold.parent / "dataset.json").read_text()),
        "trainer": made["trainer_name"],
        "configuration": made["init_args"]["configuration"],
        "mirroring_axes": None if axes is None else [int(axis) for axis in axes],
        "epoch": len(made["logging"]["train_losses"]),
        "validation": {"dice": float(summary["foreground_mean"]["Dice"])},
        "history": [
            {"epoch": epoch, "term": term, "value": float(value)}
            for term, name in LOGGED.items()
            for epoch, value in enumerate(made["logging"][name], start=1)
        ],
    }


def _class_indices(scan: Scan, classes: Sequence[int], acquired_only: bool) -> NDArray[np.int16]:
    known = scan.weight > 0
    if acquired_only:
        known = known & scan.acquired[:, None, None]
    indices = np.full(scan.label.shape, len(classes), np.int16)
    for index, identity in enumerate(classes):
        indices[known & (scan.label == identity)] = index
    return indices


def _write_scan(scan: Scan, label: NDArray[np.int16], folder: Path, case: str) -> None:
    for channel in range(scan.image.shape[1]):
        path = folder / "imagesTr" / f"{case}_{channel:04d}{ENDING}"
        _write_image(scan.image[:, channel], scan, path)
    _write_image(label, scan, folder / "labelsTr" / f"{case}{ENDING}")


def _write_image(array: NDArray[Any], scan: Scan, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*scan.spacing[::-1], 1.0])  # NIfTI counts axes from the fastest one
    nib.save(nib.Nifti1Image(array.T, affine), path)


def _write_json(content: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
