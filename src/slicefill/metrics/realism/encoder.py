"""The reference encoder: fixed statistics of windows, reduced by PCA of the real ones.

It is the same for every method and needs no weights. Distances of many features are biased at our
numbers of slices, so at most 16 remain.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics.realism.windows import Windows
from slicefill.types import Array

MOST_FEATURES = 16
_SCALES = (1.0, 2.0, 4.0)
_KEPT = 24  # encoded sets: kinds and planes of one set of cases
_FLOOR = 1e-6  # of energies: a quarter of a grey level, squared


@lru_cache(maxsize=_KEPT)
def encode(windows: Windows) -> NDArray[np.float64]:
    """Measure fixed statistics of windows, `(n, 17)`.

    Mean and standard deviation; the log energy of differences of neighbouring rows and columns, of
    Gaussian derivatives and Laplacians at 1, 2 and 4 pixels; how uneven the energy is from row to
    row and from column to column, and how heavy the tails of differences are.
    """
    if not len(windows):
        return np.zeros((0, 17))
    image = windows.pixels / np.float32(255)
    columns = [image.mean(axis=(1, 2)), image.std(axis=(1, 2))]
    for axis in (1, 2):
        step = np.diff(image, axis=axis)
        energy = np.square(step).mean(axis=3 - axis)  # of each pair of rows, or of columns
        fourth = np.square(np.square(step)).mean(axis=(1, 2))
        total = np.square(step).mean(axis=(1, 2)) + _FLOOR
        columns += [np.log(total), energy.std(axis=1) / total, np.log(fourth / total**2 + _FLOOR)]
    columns += [one for scale in _SCALES for one in _energies(image, scale)]
    return np.stack(columns, axis=1).astype(np.float64)


def _energies(image: Array, scale: float) -> list[Array]:
    from scipy.ndimage import gaussian_filter, gaussian_laplace

    sigma = (0, scale, scale)
    filtered = [
        gaussian_filter(image, sigma, order=(0, 1, 0)),
        gaussian_filter(image, sigma, order=(0, 0, 1)),
        gaussian_laplace(image, sigma),
    ]
    return [np.log(np.square(one).mean(axis=(1, 2)) * scale**2 + _FLOOR) for one in filtered]


@dataclass(frozen=True, eq=False)
class Encoder:
    """Statistics, scaled to the spread of real windows, along their principal axes.

    Attributes:
        mean: `(17,)`.
        scale: Standard deviation, `(17,)`.
        axes: Orthonormal, `(17, d)`, d at most 16.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]

    def __call__(self, windows: Windows) -> NDArray[np.float64]:
        """Encode windows, `(n, d)`."""
        return ((encode(windows) - self.mean) / self.scale) @ self.axes


def fit_encoder(real: Windows) -> Encoder:
    """Fit the scale and the axes on real windows, of training subjects where there are any.

    Raises:
        ValueError: If there are fewer than two.
    """
    if len(real) < 2:
        msg = f"expected at least 2 real windows to fit the encoder on, got {len(real)}"
        raise ValueError(msg)
    raw = encode(real)
    mean, scale = raw.mean(axis=0), raw.std(axis=0) + 1e-9
    _, _, axes = np.linalg.svd((raw - mean) / scale, full_matrices=False)
    kept = min(MOST_FEATURES, len(real) - 1)
    return Encoder(mean, scale, axes[:kept].T)
