"""From parameters to a network: a design of plain values, kept in the checkpoint."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import nn

from slicefill.params import DynUNet3DParams, SegmentationParams
from slicefill.segmentation.networks import build_dynunet3d, build_unet2d
from slicefill.segmentation.planning import Levels, fit_patch, plan_levels
from slicefill.segmentation.scans import ScanPromise
from slicefill.types import Array

Design = dict[str, Any]


def design_unet2d(
    channels: int, classes: int, params: SegmentationParams, dropout: float
) -> Design:
    """Design the U-Net on slices."""
    return {
        "dims": 2,
        "channels": channels,
        "classes": classes,
        "width": params.unet2d.width,
        "dropout": dropout,
        "patch": list(params.unet2d.patch),
    }


def design_dynunet3d(
    channels: int, classes: int, params: SegmentationParams, scans: Iterable[ScanPromise]
) -> Design:
    """Design nnU-Net's architecture for the median spacing and size of scans; reads them all."""
    geometry = [_geometry(scan) for scan in scans]
    spacing = np.median([pitch for pitch, _ in geometry], axis=0)
    size = np.median([shape for _, shape in geometry], axis=0).astype(int)
    depth, height, width = np.minimum(params.dynunet3d.patch, size).tolist()
    patch = (depth, height, width)
    levels = plan_levels(spacing, patch)
    return {
        "dims": 3,
        "channels": channels,
        "classes": classes,
        "dynunet3d": params.dynunet3d.model_dump(),
        "kernels": [list(kernel) for kernel in levels.kernels],
        "strides": [list(stride) for stride in levels.strides],
        "patch": list(fit_patch(patch, levels)),
    }


def build_network(design: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights."""
    channels, classes = design["channels"], design["classes"]
    if design["dims"] == 2:
        return build_unet2d(channels, classes, design["width"], design["dropout"])
    levels = Levels(
        [tuple(kernel) for kernel in design["kernels"]],
        [tuple(stride) for stride in design["strides"]],
    )
    params = DynUNet3DParams.model_validate(design["dynunet3d"])
    return build_dynunet3d(channels, classes, params, levels)


def _geometry(promise: ScanPromise) -> tuple[Array, tuple[int, ...]]:
    scan = promise.make()
    return scan.spacing, scan.label.shape
