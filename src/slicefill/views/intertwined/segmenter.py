"""The segmenter of intertwined training: a 3D network of our own, as it was trained apart."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.segmentation.networks import build_network


class Segmenter(nn.Module):
    """A network on cubes of any side, at full resolution alone."""

    def __init__(self, design: Mapping[str, Any]) -> None:
        """Build it with random weights.

        Args:
            design: Of the engine dynunet3d, of one channel.

        Raises:
            ValueError: If it is of another network.
        """
        super().__init__()
        if design.get("dims") != 3 or "strides" not in design or design["channels"] != 1:
            msg = (
                "intertwined: expected a network of the engine dynunet3d on one channel, whose "
                "gradients are needed; set fusion.segmenter.engine to dynunet3d"
            )
            raise ValueError(msg)
        self.network = build_network(design)
        strides = [list(stride) for stride in design["strides"]]
        self._multiple = max(math.prod(own) for own in zip(*strides, strict=True))

    def train(self, mode: bool = True) -> "Segmenter":
        """Do nothing: heads at lower resolution, which it has in training alone, are not used."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, `(B, K, N, N, N)`, of cubes `(B, 1, N, N, N)`."""
        side = image.shape[-1]
        more = -side % self._multiple
        logits = self.network(F.pad(image, [0, more] * 3))
        return cast(Tensor, logits[..., :side, :side, :side])

    def probabilities(self, image: Tensor) -> Tensor:
        """Return class probabilities of cubes, as `forward`."""
        return cast(Tensor, self(image)).softmax(1)
