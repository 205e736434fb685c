"""Risk-coverage curves: the mean error of what is kept when the least confident is dropped."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array

if TYPE_CHECKING:
    import pandas as pd

Floats64 = NDArray[np.float64]
COVERAGES: Floats64 = np.arange(1, 21) / 20
"""Where risk is measured."""


def risk_curves(confidence: Array, error: Array) -> "pd.DataFrame":
    """Risk at every coverage.

    Args:
        confidence: `(n,)`; its order alone counts.
        error: Absolute errors, `(n,)`.

    Returns:
        Columns `coverage`, `risk` (most confident first), `oracle` (least error first) and `random`
        (in no order: the mean error).
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "coverage": COVERAGES,
            "risk": risk_at(COVERAGES, confidence, error),
            "oracle": risk_at(COVERAGES, -error, error),
            "random": error.mean(dtype=np.float64),
        }
    )


def risk_at(coverages: Array, confidence: Array, error: Array) -> Floats64:
    """Mean error of the most confident voxels, for each fraction of them that is kept.

    Voxels of equal confidence are dropped together: any part of them has their mean error.

    Args:
        coverages: In (0, 1].
        confidence: `(n,)`; its order alone counts.
        error: `(n,)`.

    Example:
        The most confident half is without error; of the other two, equally confident, one errs by
        1:

        >>> risk_at(np.array([0.5, 0.75, 1.0]), np.array([9, 9, 2, 2]), np.array([0, 0, 0, 1]))
        array([0.        , 0.16666667, 0.25      ])
    """
    _, level, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    kept = np.cumsum([0, *counts]) / len(error)
    summed = np.cumsum([0, *np.bincount(level, error)]) / len(error)
    risk: Floats64 = np.interp(coverages, kept, summed) / coverages
    return risk


def aurc(risk: Array) -> float:
    """Area under the risk-coverage curve: mean risk over evenly spaced coverages (trapezoid rule).

    Example:
        >>> aurc(np.array([0.0, 0.2, 0.4]))
        0.2
    """
    return float(np.trapezoid(risk) / (len(risk) - 1))
