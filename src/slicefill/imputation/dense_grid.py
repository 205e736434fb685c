"""The grid of an imputed volume: acquired slices in their place, synthetic ones between them."""

from dataclasses import dataclass

import numpy as np

from slicefill.geometry import slices_back, slices_first, step_map
from slicefill.imputation.stacks import to_dtype
from slicefill.types import Array, Volume


@dataclass(frozen=True)
class DenseGrid:
    """Slice k · (count + 1) is acquired slice k.

    Attributes:
        source: The volume that is imputed.
        axis: Its through-plane array axis.
        count: Synthetic slices per interval.
    """

    source: Volume
    axis: int
    count: int

    @property
    def index_map(self) -> Array:
        """From voxel indices of the denser grid to those of the source, `(4, 4)`."""
        return step_map(self.axis, 1 / (self.count + 1))

    def interleave(self, acquired: Volume, synthetic: Array) -> Volume:
        """Put synthetic slices `(D - 1, N, H, W[, C])` between the acquired ones."""
        stored = self._merge(acquired.stored, synthetic)
        return acquired.with_stored(stored, self.index_map)

    def overlay(self, acquired: Array, synthetic: Array, slope: float) -> Volume:
        """Make a map on the denser grid from its values on both kinds of slice."""
        stored = self._merge(acquired, synthetic)
        return self.source.with_stored(stored, self.index_map, (slope, 0.0))

    def as_stored(self, slices: Array) -> Array:
        """Turn `(..., C, H, W)` into `(..., H, W[, C])`."""
        moved = np.moveaxis(slices, -3, -1)
        return moved if self.source.stored.ndim == 4 else moved[..., 0]

    def replace(self, acquired: Array) -> Volume:
        """Put other numbers `(D, C, H, W)` in the place of the acquired slices."""
        stored = to_dtype(self.as_stored(acquired), self.source.stored.dtype)
        return self.source.with_stored(slices_back(stored, self.axis))

    def _merge(self, acquired: Array, synthetic: Array) -> Array:
        first = slices_first(acquired, self.axis)
        step = self.count + 1
        merged = np.empty(((len(first) - 1) * step + 1, *first.shape[1:]), first.dtype)
        merged[::step] = first
        for n in range(self.count):
            merged[n + 1 :: step] = to_dtype(synthetic[:, n], first.dtype)
        return slices_back(merged, self.axis)
