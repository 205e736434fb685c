"""Scans as patches are drawn from them: padded, their slices and voxels listed by kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicefill.segmentation.scans import Scan
from slicefill.types import Array, Floats

VOXELS_PER_CLASS = 4000
"""How many voxels of a class can become the centre of a patch, per scan and kind of slice."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Slices of one kind, `(S,)`, and per class that shows there its voxels, `(n, 3)`."""

    slices: Array
    foreground: list[Array]


@dataclass(frozen=True, eq=False)
class Source:
    """A scan padded to the patch, as drawing needs it.

    Image `(C, D, H, W)`; class indices and weights, `(D, H, W)`; spacing `(3,)`, mm; slices by
    kind.
    """

    image: Floats
    label: NDArray[np.int16]
    weight: Floats
    spacing: NDArray[np.float64]
    acquired: Pool
    synthetic: Pool
    labelled: Pool
    unlabelled: Pool

    @property
    def nbytes(self) -> int:
        """Of the arrays that grow with the scan."""
        return self.image.nbytes + self.label.nbytes + self.weight.nbytes


def index_scan(scan: Scan, size: Array, classes: Sequence[int]) -> Source:
    """Pad a scan to a patch, and list its slices and voxels by kind.

    Args:
        scan: Labelled or not.
        size: Of the patch: slices, rows, columns.
        classes: Ids in label maps, background first; voxels of other ids get weight 0.
    """
    label = np.zeros(scan.label.shape, np.int16)
    weight = np.zeros_like(scan.weight)
    for index, name in enumerate(classes):
        here = scan.label == name
        label[here] = index
        weight[here] = scan.weight[here]
    missing = np.maximum(size - label.shape, 0)
    margin = np.stack([missing // 2, missing - missing // 2], axis=1)
    label, weight = np.pad(label, margin), np.pad(weight, margin)
    image = np.pad(scan.image.swapaxes(0, 1), [(0, 0), *margin], mode="edge")
    acquired = np.pad(scan.acquired, margin[0])
    known = np.asarray(weight.any(axis=(1, 2)))
    voxels = [np.argwhere((label == i) & (weight > 0)) for i in range(1, len(classes))]
    kinds = (known & acquired, known & ~acquired, known, ~known & ~acquired)
    return Source(image, label, weight, scan.spacing, *(_pool(kind, voxels) for kind in kinds))


def _pool(kind: Array, voxels: Sequence[Array]) -> Pool:
    rng = np.random.default_rng(0)  # a scan that is read again offers the same voxels
    shown = [positions[kind[positions[:, 0]]] for positions in voxels]
    few = [some[rng.permutation(len(some))[:VOXELS_PER_CLASS]] for some in shown if len(some)]
    return Pool(np.flatnonzero(kind), few)
