"""Draws training patches from scans: slices for 2D networks, blocks for 3D ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from slicefill.segmentation.interface import PatchBatch
from slicefill.segmentation.scans import ScanPromise
from slicefill.segmentation.sources import Pool, Source, index_scan
from slicefill.training.cache import BoundedCache
from slicefill.types import Array, Floats

NOT_FOUND = {
    True: "labelled slice: give label maps with the ids of segmentation.label_names",
    False: (
        "synthetic slice without label: a mean teacher needs a method that makes none; choose "
        "the engine unet2d"
    ),
}


Cut = tuple[Floats, NDArray[np.int16], Floats]
"""A patch: image `(C, ...)`, class indices and weights `(...)`."""


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Attributes:
        patch: Rows and columns of a slice, or slices, rows and columns of a block.
        foreground_fraction: Of the patches, centred on an object; the others lie anywhere.
        synthetic_fraction: Of the slices drawn in 2D from a case that has acquired and synthetic
            ones; None draws every labelled slice of a case equally often. Unused in 3D.
        classes: Ids in label maps, background first. Other ids give no loss.
        cache_gb: Bound on the scans held in memory.
    """

    patch: tuple[int, int] | tuple[int, int, int]
    foreground_fraction: float
    synthetic_fraction: float | None
    classes: tuple[int, ...]
    cache_gb: float


class Sampler:
    """Patches of scans at random; all that is random follows from the generators passed."""

    def __init__(self, scans: Mapping[str, ScanPromise], drawing: Drawing) -> None:
        if not scans:
            msg = "no scan to draw patches from: expected at least one training case"
            raise ValueError(msg)
        self._scans = scans
        self._drawing = drawing
        self._flat = len(drawing.patch) == 2
        self._size = np.array([1, *drawing.patch] if self._flat else drawing.patch)
        self._cache = BoundedCache(self._load, lambda held: held.nbytes, drawing.cache_gb)
        self._drawn_from = sorted(scans)

    @property
    def classes(self) -> tuple[int, ...]:
        """Ids in label maps, background first, whose indices patches hold."""
        return self._drawing.classes

    @cached_property
    def channels(self) -> int:
        """Image channels of the first case; a case with others is refused when it is read."""
        return len(self._cache[min(self._scans)].image)

    @cached_property
    def _room(self) -> int:
        """How many scans fit. Reads each once, so that a resumed run knows what the first did."""
        for name in sorted(self._scans):
            self._cache[name]
        return self._cache.room

    def begin_epoch(self, rng: np.random.Generator) -> None:
        """Choose the cases that are drawn from until the next call.

        These are all cases if they fit into memory, else as many as do: every case is then read
        at most once per epoch, and over the epochs all take their turn.
        """
        names = sorted(self._scans)
        if self._room < len(names):
            names = [names[i] for i in rng.permutation(len(names))[: self._room]]
        self._drawn_from = names

    def draw(self, count: int, rng: np.random.Generator, labelled: bool = True) -> PatchBatch:
        """Draw patches of cases chosen at random, one case for each.

        With probability `foreground_fraction` a patch is centred, as far as the scan reaches, on a
        voxel of a random class among those that show; only voxels of positive weight count.
        Where the scan is smaller than the patch, its edge goes on, with weight 0.

        Args:
            count: B.
            rng: Source of all randomness.
            labelled: False draws synthetic slices without any label instead (2D only).

        Returns:
            B patches, `(B, C, h, w)` or `(B, C, d, h, w)`; labels are indices into `classes`.

        Raises:
            ValueError: If no case has such slices, or a case has other channels than the first.
        """
        if not (labelled or self._flat):
            msg = f"unlabelled patches are slices: expected a patch of 2, got {self._drawing.patch}"
            raise ValueError(msg)
        cuts = self._cuts(count, rng, labelled)
        image, label, weight = (
            torch.from_numpy(np.stack(parts)) for parts in zip(*cuts, strict=True)
        )
        return PatchBatch(image, label.long()[:, None], weight[:, None])

    def _cuts(self, count: int, rng: np.random.Generator, labelled: bool) -> list[Cut]:
        """Cut the patches of a batch."""
        return [self.cut(*self._choose(rng, labelled), rng) for _ in range(count)]

    def _choose(self, rng: np.random.Generator, labelled: bool) -> tuple[Source, Pool]:
        """Choose a case, and the slices of it that can be drawn; cases without any are passed."""
        for i in rng.permutation(len(self._drawn_from)):
            source = self._cache[self._drawn_from[i]]
            pool = self._kind(source, rng) if labelled else source.unlabelled
            if len(pool.slices):
                return source, pool
        msg = f"{len(self._drawn_from)} training cases have no {NOT_FOUND[labelled]}"
        raise ValueError(msg)

    def _kind(self, source: Source, rng: np.random.Generator) -> Pool:
        fraction = self._drawing.synthetic_fraction
        both = len(source.acquired.slices) and len(source.synthetic.slices)
        if fraction is None or not both or not self._flat:
            return source.labelled
        return source.synthetic if rng.random() < fraction else source.acquired

    def cut(self, source: Source, pool: Pool, rng: np.random.Generator) -> Cut:
        """Cut one patch out of a case.

        Args:
            source: The case.
            pool: Its slices that may be drawn.
            rng: Source of all randomness.
        """
        return self.cut_at(source, self._start(source, pool, rng))

    def cut_at(self, source: Source, start: Array) -> Cut:
        """Cut the patch whose first voxel is `start`, `(3,)`."""
        box = tuple(map(slice, start, start + self._size))
        image, label, weight = source.image[:, *box], source.label[box], source.weight[box]
        return (image[:, 0], label[0], weight[0]) if self._flat else (image, label, weight)

    def around(self, source: Source, centre: Array) -> Array:
        """Return the first voxel of the patch around a centre, as far as the scan reaches."""
        spare = np.array(source.label.shape) - self._size
        return np.asarray(np.clip(centre - self._size // 2, 0, spare))

    def _start(self, source: Source, pool: Pool, rng: np.random.Generator) -> Array:
        spare = np.array(source.label.shape) - self._size
        if pool.foreground and rng.random() < self._drawing.foreground_fraction:
            voxels = pool.foreground[rng.integers(len(pool.foreground))]
            return self.around(source, voxels[rng.integers(len(voxels))])
        start = rng.integers(spare + 1)
        if self._flat:
            start[0] = pool.slices[rng.integers(len(pool.slices))]
        return np.asarray(start)

    def _load(self, name: str) -> Source:
        scan = self._scans[name].make()
        found = scan.image.shape[1]
        if name != min(self._scans) and found != self.channels:
            msg = (
                f"{name}: expected {self.channels} image channels as in {min(self._scans)}, got "
                f"{found}; train on cases of the same channels"
            )
            raise ValueError(msg)
        return index_scan(scan, self._size, self._drawing.classes)
