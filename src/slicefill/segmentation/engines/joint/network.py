"""A U-Net on slices with an entrance per source.

Reference:
    Guo, Yang, Ma: FS-Net: A New Paradigm of Data Expansion for Medical Image Segmentation, DALI
    2021; the channel attention is that of Fu et al., Dual Attention Network, CVPR 2019.
"""

from typing import Any

import torch
from torch import Tensor, nn

from slicefill.segmentation.networks import build_network


class JointNetwork(nn.Module):
    """`unet2d` behind an entrance per source; without branches, `unet2d` itself.

    With joint labels it tells background, objects in acquired slices and objects in synthetic ones
    apart; in evaluation mode it returns the classes of acquired slices, from their entrance.
    """

    def __init__(self, design: dict[str, Any]) -> None:
        super().__init__()
        self.classes = design["classes"]
        channels = design["channels"]
        seen = design["width"] if design["branches"] else channels
        made = self.classes + (self.classes - 1) * design["joint_labels"]
        own = ("dims", "width", "dropout", "patch")
        plan = {name: design[name] for name in own} | {"channels": seen, "classes": made}
        self.network = build_network(plan)
        count = design["sources"] if design["branches"] else 0
        self.entrances = nn.ModuleList(Entrance(channels, seen) for _ in range(count))

    def forward(self, image: Tensor, acquired: int | None = None) -> Tensor:
        """Return logits.

        Args:
            image: `(B, C, H, W)`.
            acquired: How many of the batch are acquired, the first ones; None: all.

        Returns:
            `(B, K, H, W)`; in training mode of all classes.
        """
        if len(self.entrances):
            parts = image.tensor_split([len(image) if acquired is None else acquired])
            entered = zip(self.entrances, parts, strict=False)
            image = torch.cat([way(part) for way, part in entered])
        logits: Tensor = self.network(image)
        return logits if self.training else logits[:, : self.classes]


class Entrance(nn.Module):
    """A 1 × 1 convolution, and attention between its channels beside the identity.

    The products of channels are means over pixels, not sums as published: sums grow with the slice
    and saturate the softmax.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(inputs, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """From `(B, C, H, W)` to `(B, outputs, H, W)`."""
        mixed: Tensor = self.mix(image)
        flat = mixed.flatten(2)
        likeness = (flat @ flat.transpose(1, 2) / flat.shape[2]).softmax(-1)
        return mixed + (likeness.transpose(1, 2) @ flat).view_as(mixed)
