"""Constant background: where acquired neighbours both hold it, no method changes it.

Skull-stripped heads, corners outside a round field of view, air clipped to one number: a value
that fills the edges of the slices, the same to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array, Floats, SyntheticSlices

_RUN = 7  # equal neighbours along an edge that noise does not produce
_LEAST_SHARE = 0.01  # of the edges that a background value fills by such runs
_RINGS = 2  # rows and columns that are edges: the outermost may be resampling's


def constant_values(slices: Array) -> list[float]:
    """Find the values of constant background: those that fill runs along the edges of slices.

    Of a constant channel it is its value.

    Args:
        slices: One channel, `(D, H, W)`.

    Returns:
        The values, rising.

    Example:
        >>> slices = np.random.default_rng(0).normal(size=(3, 20, 20))
        >>> constant_values(slices)
        []
        >>> slices[:, :, :10] = -5
        >>> constant_values(slices)
        [-5.0]
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    varied: Array = slices.min((1, 2)) < slices.max((1, 2))  # a blank slice has no edges
    if not varied.any():
        return np.unique(slices).tolist() if np.ptp(slices) == 0 else []
    slices = slices[varied]
    ends = [place for ring in range(_RINGS) for place in (ring, -1 - ring)]
    rows = [slices[:, place] for place in ends if abs(place) < slices.shape[1]]
    columns = [slices[:, :, place] for place in ends if abs(place) < slices.shape[2]]
    edges = [np.ascontiguousarray(edge) for edge in (*rows, *columns)]
    runs = [e[minimum_filter1d(e, _RUN) == maximum_filter1d(e, _RUN)] for e in edges]
    values, counts = np.unique(np.concatenate(runs), return_counts=True)
    least = _LEAST_SHARE * sum(edge.size for edge in edges)
    return [float(value) for value in values[counts >= least]]


@dataclass(frozen=True, eq=False)
class Background:
    """What no method changes in a stack.

    Attributes:
        constant: Where acquired slices hold background or padding, bool, `(D, C, H, W)`.
        held: Where both acquired neighbours hold the same of these values, bool, one slice per
            interval, `(D - 1, C, H, W)`.
        floor: The constant background of every channel where nothing lies below it, else -inf,
            `(C, 1, 1)`.
    """

    constant: NDArray[np.bool_]
    held: NDArray[np.bool_]
    floor: Floats

    @classmethod
    def of(cls, acquired: Floats, padding: Sequence[Sequence[float]]) -> "Background":
        """Find the background of acquired slices.

        Args:
            acquired: Intensities, padding included, `(D, C, H, W)`.
            padding: Which values of each channel are padding.
        """
        channels = acquired.swapaxes(0, 1)
        found = [_channel(own, values) for own, values in zip(channels, padding, strict=True)]
        constants, floors = zip(*found, strict=True)
        constant: NDArray[np.bool_] = np.stack(constants, 1)
        held: NDArray[np.bool_] = constant[:-1] & (acquired[:-1] == acquired[1:])
        return cls(constant, held, np.array(floors, np.float32)[:, None, None])

    def keep(self, synthetic: SyntheticSlices) -> SyntheticSlices:
        """Raise what fell below the background, and trust what is held.

        A residual or a spline may fall below the background beside the body, where
        `image > background` has to find the body. What is held has confidence 1 and no spread.

        Arrays that can be written are changed in place: they are as large as the result.
        """
        if np.isfinite(self.floor).any():
            raised = [_own(sample) for sample in (synthetic.image, *synthetic.samples)]
            for sample in raised:
                np.maximum(sample, self.floor, out=sample)
            synthetic = replace(synthetic, image=raised[0], samples=raised[1:])
        certain: Array = np.all(self.held, axis=1)[:, None]
        if synthetic.counts is not None:
            certain = certain.repeat(synthetic.counts, axis=0)
        if not certain.any():
            return synthetic
        confidence, abstained = _own(synthetic.confidence), synthetic.abstained
        np.copyto(confidence, 1, where=certain)
        if abstained is not None:
            np.copyto(abstained := _own(abstained), False, where=certain)
        spread = None if synthetic.spread is None else np.where(certain, 0, synthetic.spread)
        return replace(synthetic, confidence=confidence, abstained=abstained, spread=spread)


def _own(array: Array) -> Array:
    """The array itself, or a copy where it cannot be written: of values that many voxels share."""
    return array if array.flags.writeable else array.copy()


def _channel(slices: Floats, padding: Sequence[float]) -> tuple[NDArray[np.bool_], float]:
    """Where slices `(D, H, W)` hold a constant value; and the background if it is lowest."""
    background = [value for value in constant_values(slices) if value not in padding]
    constant = np.isin(slices, np.asarray([*padding, *background], slices.dtype))
    if not background:
        return constant, -np.inf
    lowest = slices[~np.isin(slices, np.asarray(padding, slices.dtype))].min()
    return constant, background[0] if lowest >= background[0] else -np.inf
