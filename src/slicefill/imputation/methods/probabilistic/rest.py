"""What a completion leaves open: samples of it are rough fields, as its errors are.

The decoder of a variational autoencoder gives the middle of a likelihood. A sample of the model is
a sample of that likelihood, too: without it, completions differ by the latents alone.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from slicefill.types import Floats

Grain = tuple[float, float, float]
_GRAINS = np.arange(0.1, 4.1, 0.1)


def draw_field(size: Sequence[int], grain: Grain, rng: np.random.Generator) -> Floats:
    """Draw a smooth random field, at every voxel of mean 0 and variance 1.

    Args:
        size: Slices, rows and columns.
        grain: Standard deviation of the Gaussian that smooths white noise, voxels along each axis.
        rng: Two generators in the same state give the same field.

    Returns:
        `(S, H, W)`.
    """
    beyond = int(np.ceil(3 * grain[0]))  # so that the first slice does not know the last one
    shape = (size[0] + 2 * beyond, *size[1:])
    smooth = gaussian_filter(rng.standard_normal(shape, np.float32), grain, mode="wrap")
    return np.asarray(smooth[beyond : beyond + size[0]] / _deviation(shape, grain))


@cache
def _deviation(shape: tuple[int, ...], grain: Grain) -> float:
    """Standard deviation of white noise of a shape after smoothing; the same for many fields."""
    impulse = np.zeros(shape, np.float32)
    impulse[0, 0, 0] = 1
    return float(np.sqrt(np.square(gaussian_filter(impulse, grain, mode="wrap")).sum()))


def draw_fields(count: int, size: Sequence[int], grain: Grain, rng: np.random.Generator) -> Floats:
    """Draw fields as `draw_field` does, two or more, that sum to 0: `(count, S, H, W)`."""
    fields = np.stack([draw_field(size, grain, rng) for _ in range(count)])
    centred: Floats = (fields - fields.mean(axis=0)) * np.float32(np.sqrt(count / (count - 1)))
    return centred


def find_grain(errors: Sequence[tuple[Floats, np.ndarray]]) -> Grain:
    """Find the grain of fields whose neighbours correlate as those of errors do.

    Args:
        errors: Divided by their expected size, and which of them count, `(S, H, W)` each.
    """
    along, correlations = [], [_correlation(one) for one in _GRAINS]
    for axis in range(3):
        products = squares = 0.0
        for error, counts in errors:
            beside = [np.moveaxis(one, axis, 0) for one in (np.where(counts, error, 0), counts)]
            both = beside[1][1:] & beside[1][:-1]
            here, there = beside[0][1:][both], beside[0][:-1][both]
            products += float(here @ there)
            squares += float(here @ here + there @ there) / 2
        alike = products / squares if squares else 0.0
        along.append(float(np.interp(alike, correlations, _GRAINS)))
    return along[0], along[1], along[2]


def _correlation(grain: float) -> float:
    """Correlation of neighbours in white noise after smoothing along one axis."""
    impulse = np.zeros(41)
    impulse[20] = 1
    kernel = gaussian_filter1d(impulse, grain)
    return float(kernel[1:] @ kernel[:-1] / (kernel @ kernel))
