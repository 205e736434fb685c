"""How far a voxel may lie from the mean of the samples, by a rule fitted on held-out cases.

The network learns in short trainings how large errors are, less well which are larger. Two things
seen in the scan tell more of that: how much the image changes over the interval around a voxel, and
how much it varies within the slice. The rule is a product of powers, that is, linear in logarithms.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from slicefill.imputation.methods.probabilistic.features import CHANGE
from slicefill.types import Array, Floats

SpreadPowers = tuple[float, float, float, float]
"""Powers of the deviation that the network expects, of the change over the interval and of the
variation within the slice, and the logarithm of the factor before them."""
AS_EXPECTED: SpreadPowers = (1.0, 0.0, 0.0, 0.0)
"""The spread is what the network expects."""
_COVERED, _DEVIATIONS = 0.9, 1.645  # of a normal distribution
_LAPLACE = 2.0  # variance of an error whose mean absolute value is 1
_AROUND, _NEAR = 2.0, 1.0  # pixels: over which changes and variation are found
_LEAST = 1e-3  # of the window: what is smaller says no more
_SHARE = 0.25  # of the mean error: added to errors, whose logarithm has no lower end


class Expected(NamedTuple):
    """What is known of the errors of a case without the truth, `(…)` and `(2, …)`.

    Attributes:
        deviation: That the network expects, share of the window.
        clues: Of `find_clues`.
    """

    deviation: Floats
    clues: Floats


def expected_deviation(within: Floats, errors: Floats) -> Floats:
    """Join the variance of the samples with the error that each still expects.

    Args:
        within: Variance of the samples.
        errors: Mean of the squares of the absolute errors that they expect, Laplacian.
    """
    return np.asarray(np.sqrt(within + _LAPLACE * errors), np.float32)


def find_clues(features: Floats) -> Floats:
    """Find the change over the interval around each voxel, and the variation within its slice.

    Args:
        features: Of `describe_images`, `(F, S, H, W)`.

    Returns:
        Shares of the window, `(2, S, H, W)`; 0 changes at acquired slices.
    """
    linear, around, near = features[0], (0, _AROUND, _AROUND), (0, _NEAR, _NEAR)
    mean = gaussian_filter(linear, near)
    variance = gaussian_filter(np.square(linear), near) - np.square(mean)
    return np.stack([gaussian_filter(features[CHANGE], around), np.sqrt(np.maximum(variance, 0))])


def find_spread(expected: Expected, powers: SpreadPowers) -> Floats:
    """Return the standard deviation of what a voxel may be, share of the window.

    Args:
        expected: Of any shape.
        powers: Of `fit_spread`.
    """
    return np.asarray(np.exp(_logarithms(expected) @ np.asarray(powers, np.float32)), np.float32)


def fit_spread(known: Sequence[tuple[Expected, Floats, Array]]) -> SpreadPowers:
    """Fit powers to the errors of held-out cases; 90 % of them lie within 1.645 times the spread.

    Args:
        known: What was expected, the errors, and which of them count, `(S, H, W)`, for every case.
    """
    rows = np.concatenate([_logarithms(expected)[counts] for expected, _, counts in known])
    errors = np.concatenate([np.abs(error[counts]) for _, error, counts in known])
    if not errors.size or not errors.any():
        return AS_EXPECTED
    sizes = np.log(errors + _SHARE * errors.mean())
    found = np.linalg.lstsq(rows, sizes, rcond=None)[0]
    beyond = errors / np.exp(rows @ found)
    found[3] += np.log(np.quantile(beyond, _COVERED) / _DEVIATIONS)
    own, change, variation, factor = found.tolist()
    return own, change, variation, factor


def _logarithms(expected: Expected) -> Floats:
    """Stack the logarithms and 1 along a new last axis: `(…, 4)`."""
    seen = np.log(np.maximum([expected.deviation, *expected.clues], _LEAST))
    return np.stack([*seen, np.ones_like(seen[0])], axis=-1).astype(np.float32)
