"""Networks built from a design: plain values, kept in the checkpoint."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from slicefill.segmentation.networks import build_dynunet3d, build_unet2d
from slicefill.segmentation.planning import Levels

Design = dict[str, Any]


def build_network(design: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Args:
        design: Of two `dims`: `channels`, `classes`, `width`, `dropout`; of three: `channels`,
            `classes`, `width`, `widest`, `deep_supervision`, `kernels`, `strides`.
    """
    channels, classes, width = design["channels"], design["classes"], design["width"]
    if design["dims"] == 2:
        return build_unet2d(channels, classes, width, design["dropout"])
    levels = Levels(
        [tuple(kernel) for kernel in design["kernels"]],
        [tuple(stride) for stride in design["strides"]],
    )
    widest, deep = design["widest"], design["deep_supervision"]
    return build_dynunet3d(
        channels, classes, levels, width=width, widest=widest, deep_supervision=deep
    )
