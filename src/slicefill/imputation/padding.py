"""Padding: numbers far below every intensity that mark where a scan has no data.

CT outside the round field of view is -2000, -3024 or -32768; other devices write other numbers, and
no header need say so. Methods see the lowest intensities of the body's surroundings instead.
"""

from collections.abc import Sequence

import numpy as np

from slicefill.imputation.background import constant_values
from slicefill.types import Array, Floats

_REST = (0.5, 99.5)  # percentiles that bound what is not padding: streaks and metal lie beyond
_FAR = 1.0  # widths of the rest that a value must lie below it
_BELOW_AIR = -1100.0  # HU: no tissue, no noise of air over a run of voxels
_AIR = (-1100.0, -800.0)  # HU: between these the rest of a CT scan begins


def find_padding(channel: Array) -> list[float]:
    """Find the values of a channel that are padding.

    They fill runs along the edges, and lie below the rest of the scan by its own width, or below
    -1100 where the rest begins with air.

    Args:
        channel: Intensities, `(D, H, W)`.

    Returns:
        The values, rising.

    Example:
        >>> slices = np.random.default_rng(0).normal(0, 300, (3, 20, 20)).clip(-1000, 1000)
        >>> slices[:, :, :3] = -3024
        >>> find_padding(slices)
        [-3024.0]
    """
    padding: list[float] = []
    for value in constant_values(channel):
        rest = channel[channel > value]
        if not rest.size:
            break
        low, high = (float(each) for each in np.percentile(rest, _REST))
        far = low - value >= _FAR * (high - low) > 0
        below_air = value <= _BELOW_AIR and _AIR[0] <= low <= _AIR[1]
        if not (far or below_air):
            break
        padding.append(value)
    return padding


def without_padding(image: Floats) -> tuple[Floats, tuple[tuple[float, ...], ...]]:
    """Replace padding by the lowest percentile of what is not padding.

    Args:
        image: Intensities, `(D, C, H, W)`; left as it is.

    Returns:
        The image, the same array where nothing is padding; and the padding of every channel.
    """
    padding = tuple(tuple(find_padding(image[:, c])) for c in range(image.shape[1]))
    if not any(padding):
        return image, padding
    image = image.copy()
    for channel, values in zip(image.swapaxes(0, 1), padding, strict=True):
        outside = is_padding(channel, values)
        channel[outside] = np.percentile(channel[~outside], _REST[0])
    return image, padding


def is_padding(channel: Array, values: Sequence[float]) -> Array:
    """Where intensities are one of the padding values, bool."""
    return np.isin(channel, np.asarray(values, channel.dtype))
