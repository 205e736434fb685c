"""Real volumes as imputed ones are scored against them: padding, scale and body, found once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first
from slicefill.imputation.padding import find_padding, is_padding
from slicefill.types import Array, Case

Indices = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class RealChannel:
    """One channel of a whole real volume, `(D, H, W)`, and where its scores count.

    Attributes:
        shown: Intensities; the minimum of the rest where they are padding.
        outside: Where they are padding, or a guess at a slice that the series lacked, bool.
        body: What exceeds the minimum by a share of the data range, holes filled in each slice,
            save padding, bool.
        low: Minimum of what is no padding.
        data_range: Its 99.9th percentile minus its minimum.
    """

    shown: Array
    outside: NDArray[np.bool_]
    body: NDArray[np.bool_]
    low: float
    data_range: float


def real_channels(truth: Case, axis: int, body_quantile: float) -> list[RealChannel]:
    """Prepare the channels of a real case, once for all methods.

    Padding below zero (`imputation.padding`) and absent slices count nowhere. A background of zero
    around a body stays: the body is told from it.

    Args:
        truth: The real case.
        axis: Across slices.
        body_quantile: As of `ScoreParams`.

    Raises:
        ValueError: If a channel is constant.
    """
    image = slices_first(truth.image.intensities(), axis)
    # one channel axis last, whether or not the file has one
    channels = np.moveaxis(image.reshape(*image.shape[:3], -1), -1, 0)
    absent = truth.absent if axis == Case.ACROSS else ()
    return [_real_channel(volume, body_quantile, absent) for volume in channels]


def body_mask(volume: Array, chosen: Indices, quantile: float) -> NDArray[np.bool_]:
    """Where some slices of a real volume show the body, bool, `(n, H, W)`; padding is no body.

    Args:
        volume: All of its slices, `(D, H, W)`: their scale decides.
        chosen: Indices of slices, `(n,)`.
        quantile: As `body_quantile` of `ScoreParams`.
    """
    return _real_channel(volume, quantile).body[chosen]


def _real_channel(volume: Array, quantile: float, absent: Sequence[int] = ()) -> RealChannel:
    from scipy.ndimage import binary_fill_holes

    values = [value for value in find_padding(volume) if value < 0]
    outside = np.asarray(is_padding(volume, values), bool)
    shown = np.where(outside, volume[~outside].min(), volume) if values else volume
    outside = outside | np.isin(np.arange(len(volume)), absent)[:, None, None]
    low = float(shown.min())
    data_range = float(np.percentile(volume[~outside], 99.9)) - low
    if data_range <= 0:
        msg = f"the truth is {low:g} almost everywhere: it has no scale to score against"
        raise ValueError(msg)
    above = shown > low + quantile * data_range
    filled = np.stack([binary_fill_holes(one) for one in above])
    return RealChannel(shown, outside, filled & ~outside, low, data_range)
