"""The slices of a case in front of its array, and their way back onto a denser grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_back, slices_first, step_map
from slicefill.imputation.padding import is_padding, without_padding
from slicefill.params.base import WindowParams
from slicefill.types import Array, Case, Floats, Stack, Volume


def stack_case(case: Case, axis: int, window: WindowParams) -> Stack:
    """View a case as slices, without the padding around what was scanned.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        axis: Through-plane array axis.
        window: Which intensities become 0 and 1 in `Stack.normalised`.

    Raises:
        ValueError: If the window is empty in every channel, as for a constant image.
    """
    raw = channels_second(case.image, axis)
    image, padding = without_padding(raw)
    label = None if case.label is None else slices_first(case.label.stored, axis)
    rows, columns = case.image.spacing[axis] / np.delete(case.image.spacing, axis)
    shown = _window(raw, window, padding)
    return Stack(image, shown, label, padding, apart=(float(rows), float(columns)))


def channels_second(image: Volume, axis: int) -> Floats:
    """Return the intensities of a volume as slices `(D, C, H, W)`, padding included."""
    values = slices_first(image.intensities(), axis)
    channels = values[..., None] if values.ndim == 3 else values
    return np.ascontiguousarray(np.moveaxis(channels, -1, 1))


def to_dtype(array: Array, dtype: np.dtype) -> Array:
    """Round to the nearest number that `dtype` holds; out-of-range numbers are clipped.

    Example:
        >>> to_dtype(np.array([-3.0, 1.6, 300.0]), np.dtype("u1")).tolist()
        [0, 2, 255]
    """
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        short = array.dtype == np.float32 and dtype.itemsize <= 2  # whose limits float32 can hold
        whole = np.rint(array, dtype=np.float32 if short else np.float64)
        array = np.clip(whole, limits.min, limits.max, out=whole)
    return array.astype(dtype)


def _window(
    image: Array, params: WindowParams, padding: Sequence[Sequence[float]]
) -> NDArray[np.float64]:
    """Intensities shown as 0 and 1, per channel, `(C, 2)`; padding does not count."""
    if params.kind == "percentile":
        pairs = zip(image.swapaxes(0, 1), padding, strict=True)
        window = np.stack([_percentiles(channel, params, values) for channel, values in pairs])
    else:
        window = np.tile([params.low, params.high], (image.shape[1], 1))
    empty = window[:, 1] <= window[:, 0]
    if empty.all():
        msg = (
            f"window {params.kind} {params.low:g}..{params.high:g}: expected a range of "
            f"intensities, got {window.tolist()}; the image is constant there, widen the window"
        )
        raise ValueError(msg)
    window[empty, 1] = window[empty, 0] + 1  # a constant channel beside others shows nothing
    return np.asarray(window, dtype=np.float64)


def _percentiles(channel: Array, params: WindowParams, padding: Sequence[float]) -> Array:
    seen = channel[~is_padding(channel, padding)] if padding else channel.ravel()
    window = np.percentile(seen, [params.low, params.high])
    if window[0] == window[1]:  # nearly all background: the whole range shows it
        return np.stack([seen.min(), seen.max()])
    return window


@dataclass(frozen=True)
class DenseGrid:
    """Which slices an imputed volume has.

    Attributes:
        source: The volume that is imputed.
        axis: Its through-plane array axis.
        parts: Into how many its slices divide an interval of the source.
        places: Of every slice the interval, and t in it: 0 is the acquired slice that begins it.
        at: Where the slices of the source lie, in steps of its spacing; None: in each step one.
    """

    source: Volume
    axis: int
    parts: float
    places: Sequence[tuple[int, float]]
    at: Sequence[int] | None = None

    @classmethod
    def even(cls, source: Volume, axis: int, count: int) -> "DenseGrid":
        """Return the grid of `count` synthetic slices in every interval and all acquired ones."""
        parts, last = count + 1, source.stored.shape[axis] - 1
        places = [(k, n / parts) for k in range(last) for n in range(parts)]
        return cls(source, axis, parts, [*places, (last, 0.0)])

    @property
    def positions(self) -> list[float]:
        """T of the synthetic slices of any interval, rising."""
        return sorted({t for _, t in self.places if t})

    @property
    def index_map(self) -> Array:
        """From voxel indices of the denser grid to those of the source, `(4, 4)`."""
        return step_map(self.axis, 1 / self.parts)

    def interleave(
        self,
        acquired: Volume,
        synthetic: Array,
        held: Array | None = None,
        convert: Callable[[Array], Array] | None = None,
    ) -> Volume:
        """Put synthetic slices `(D - 1, N, H, W[, C])` between the acquired ones.

        Where intervals have different numbers of them, they are `(M, 1, H, W[, C])`.

        Args:
            acquired: The volume that they are put into.
            synthetic: Numbers to store, which are rounded; or what `convert` makes such numbers of.
            held: Where, `(D - 1, C, H, W)`, they have the number of the acquired slice before them.
            convert: Of one slice, as `as_stored`: no whole volume is converted at once.
        """
        stored = self._merge(acquired.stored, synthetic, held, convert)
        return acquired.with_stored(stored, self.index_map)

    def overlay(
        self,
        acquired: Array,
        synthetic: Array,
        slope: float,
        convert: Callable[[Array], Array] | None = None,
    ) -> Volume:
        """Make a map on the denser grid from its values on both kinds of slice."""
        stored = self._merge(acquired, synthetic, None, convert)
        return self.source.with_stored(stored, self.index_map, (slope, 0.0))

    def as_stored(self, slices: Array) -> Array:
        """Turn intensities `(..., C, H, W)` into numbers to store, not rounded, `(..., H, W[, C])`.

        They are float64 where the file has a slope or an intercept.
        """
        values = self._channels_last(slices)
        slope, intercept = self.source.slope_intercept
        plain = (slope, intercept) == (1.0, 0.0)
        return values if plain else (values.astype(np.float64) - intercept) / slope

    def _channels_last(self, slices: Array) -> Array:
        """Turn `(..., C, H, W)` into `(..., H, W[, C])`, as the source stores them."""
        moved = np.moveaxis(slices, -3, -1)
        return moved if self.source.stored.ndim == 4 else moved[..., 0]

    def replace(self, acquired: Array, constant: Array) -> Volume:
        """Put other intensities `(D, C, H, W)` in the place of the acquired ones.

        Where `constant`, bool, `(D, C, H, W)`, the acquired ones stay.
        """
        stored = to_dtype(self.as_stored(acquired), self.source.stored.dtype)
        before = slices_first(self.source.stored, self.axis)
        kept = self._channels_last(constant)
        stored[kept] = before[kept]
        return self.source.with_stored(slices_back(stored, self.axis))

    def _merge(
        self,
        acquired: Array,
        synthetic: Array,
        held: Array | None,
        convert: Callable[[Array], Array] | None,
    ) -> Array:
        first = slices_first(acquired, self.axis)
        kept = None if held is None else self._channels_last(held)
        merged = np.empty((len(self.places), *first.shape[1:]), first.dtype)
        each = chain.from_iterable(synthetic)
        for made, (interval, t) in zip(merged, self.places, strict=True):
            if not t:
                made[:] = first[interval]
                continue
            own = next(each)  # slice by slice: they fit a cache
            made[:] = to_dtype(convert(own) if convert else own, first.dtype)
            if kept is not None:
                np.copyto(made, first[interval], where=kept[interval])
        return slices_back(merged, self.axis)
