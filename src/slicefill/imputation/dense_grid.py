"""The slices of a case in front of its array, and their way back onto a denser grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_back, slices_first, step_map
from slicefill.params.base import WindowParams
from slicefill.types import Array, Case, Stack, Volume


def stack_case(case: Case, axis: int, window: WindowParams) -> Stack:
    """View a case as slices.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        axis: Through-plane array axis.
        window: Which intensities become 0 and 1 in `Stack.normalised`.

    Raises:
        ValueError: If the window is empty, as for a constant image.
    """
    values = slices_first(case.image.intensities(), axis)
    channels = values[..., None] if values.ndim == 3 else values
    image = np.ascontiguousarray(np.moveaxis(channels, -1, 1))
    label = None if case.label is None else slices_first(case.label.stored, axis)
    return Stack(image, _window(image, window), label)


def to_dtype(array: Array, dtype: np.dtype) -> Array:
    """Round to the nearest number that `dtype` holds; out-of-range numbers are clipped.

    Example:
        >>> to_dtype(np.array([-3.0, 1.6, 300.0]), np.dtype("u1")).tolist()
        [0, 2, 255]
    """
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        array = np.clip(np.rint(array, dtype=np.float64), limits.min, limits.max)
    return array.astype(dtype)


def _window(image: Array, params: WindowParams) -> NDArray[np.float64]:
    """Intensities shown as 0 and 1, per channel, `(C, 2)`."""
    if params.kind == "percentile":
        flat = np.moveaxis(image, 1, 0).reshape(image.shape[1], -1)
        window = np.percentile(flat, [params.low, params.high], axis=1).T
        sparse = window[:, 0] == window[:, 1]  # nearly all background: the whole range shows it
        window[sparse] = np.stack([flat.min(1), flat.max(1)], 1)[sparse]
    else:
        window = np.tile([params.low, params.high], (image.shape[1], 1))
    if not (window[:, 1] > window[:, 0]).all():
        msg = (
            f"window {params.kind} {params.low:g}..{params.high:g}: expected a range of "
            f"intensities, got {window.tolist()}; the image is constant there, widen the window"
        )
        raise ValueError(msg)
    return np.asarray(window, dtype=np.float64)


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
        """Turn intensities `(..., C, H, W)` into numbers to store, not rounded, `(..., H, W[, C])`.

        They are float64 where the file has a slope or an intercept.
        """
        moved = np.moveaxis(slices, -3, -1)
        values = moved if self.source.stored.ndim == 4 else moved[..., 0]
        slope, intercept = self.source.slope_intercept
        plain = (slope, intercept) == (1.0, 0.0)
        return values if plain else (values.astype(np.float64) - intercept) / slope

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
