"""The segmentation networks, by MONAI, built from a design of plain values. They return logits."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from slicefill.segmentation.planning import Levels


def build_unet2d(channels: int, classes: int, width: int, dropout: float) -> nn.Module:
    """Build a U-Net on slices: five levels, instance norm, up-convolutions.

    `(B, channels, H, W)` → logits `(B, classes, H, W)`; H and W multiples of 16, and one of them
    at least 32 in training, since instance norm cannot work on a single pixel.

    Args:
        channels: Of the image.
        classes: Background and objects.
        width: Channels of the first level; they double from level to level.
        dropout: Probability that a value of a feature map is dropped, after every convolution.

    Reference:
        Ronneberger et al., U-Net, MICCAI 2015 (there with width 64), with padded convolutions.
    """
    from monai.networks.nets.basic_unet import BasicUNet

    return BasicUNet(
        spatial_dims=2,
        in_channels=channels,
        out_channels=classes,
        features=[width * times for times in (1, 2, 4, 8, 16, 1)],
        norm=("instance", {"affine": True}),
        dropout=dropout,
    )


def build_dynunet3d(
    channels: int,
    classes: int,
    levels: Levels,
    *,
    width: int,
    widest: int,
    deep_supervision: bool,
) -> nn.Module:
    """Build nnU-Net's architecture.

    `(B, channels, D, H, W)` → logits `(B, classes, D, H, W)`; in training with deep supervision
    `(B, heads, classes, D, H, W)`, finest head first, coarser ones enlarged to full size. D, H
    and W must be multiples of the total stride. Every level but the two coarsest has a head.
    After a training pass MONAI keeps the heads in the network: `copy.deepcopy` it before.

    Args:
        channels: Of the image.
        classes: Background and objects.
        levels: Kernels and strides.
        width: Channels of the first level; they double from level to level.
        widest: Most channels of a level.
        deep_supervision: Whether coarser levels have heads.

    Reference:
        Isensee et al., nnU-Net, Nature Methods 18, 2021.
    """
    from monai.networks.nets.dynunet import DynUNet

    count = len(levels.strides)
    return DynUNet(
        spatial_dims=3,
        in_channels=channels,
        out_channels=classes,
        kernel_size=levels.kernels,
        strides=levels.strides,
        upsample_kernel_size=levels.strides[1:],
        filters=[min(width * 2**level, widest) for level in range(count)],
        norm_name=("INSTANCE", {"affine": True}),
        deep_supervision=deep_supervision,
        deep_supr_num=max(1, count - 3),  # heads beside the finest; MONAI wants at least one
    )


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
