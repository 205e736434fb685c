"""VGG features of targets, computed once: no λ changes them."""

import hashlib

from torch import Tensor

from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures


class RememberedFeatures(PerceptualFeatures):
    """φ of eq. (8) that remembers what it made of real slices.

    Trials of one study see the same batches in the same order. When memory is full nothing more
    is remembered, and nothing is forgotten: on such a cycle, forgetting the oldest would keep
    none until it is asked for again.
    """

    def __init__(self, source: str, gigabytes: float) -> None:
        """Build the network.

        Args:
            source: As in `PerceptualFeatures`.
            gigabytes: Bound on what is remembered.
        """
        super().__init__(source)
        self._free = gigabytes * 1e9
        self._remembered: dict[bytes, Tensor] = {}

    def forward(self, slices: Tensor) -> Tensor:
        """`(B, C, H, W)` in [0, 1] → `(B·C, 512, H/8, W/8)`."""
        if slices.requires_grad:  # synthetic: never the same again
            return super().forward(slices)
        key = hashlib.sha256(slices.detach().cpu().contiguous().numpy().tobytes()).digest()
        if key not in self._remembered:
            features = super().forward(slices)
            if features.nbytes > self._free:
                return features
            self._free -= features.nbytes
            self._remembered[key] = features
        return self._remembered[key]
