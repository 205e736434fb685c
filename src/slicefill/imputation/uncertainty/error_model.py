"""The error model predicts the absolute error of a synthetic voxel from the evidence.

It is a weighted sum of the evidence and a monotone map from that sum to an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, nnls
from torch import Tensor

_RIDGE = 1e-3  # evidence below a thousandth of the window is rounding, and gets no large weight
_LAST_FRACTION = 1e-3  # of the voxels lies in the highest bin: large errors are rare


@dataclass(frozen=True)
class ErrorModel:
    """Expected absolute error of one method.

    Attributes:
        weights: By name of the evidence, none below 0.
        scores: Weighted sums at the knots of the map, rising.
        errors: Expected absolute error at the knots, never falling; share of the window.

    Example:
        Evidence of 0.2 has the score 0.4, half-way between the knots:

        >>> model = ErrorModel({"apart": 2.0}, [0.0, 0.8], [0.0, 0.5])
        >>> round(float(model.expect({"apart": torch.tensor(0.2)})), 4)
        0.25
    """

    weights: Mapping[str, float]
    scores: Sequence[float]
    errors: Sequence[float]

    def expect(self, evidence: Mapping[str, Tensor]) -> Tensor:
        """Return the expected absolute error, of the shape of the evidence.

        Beyond the knots it is that of the nearest knot.
        """
        terms = [weight * evidence[name] for name, weight in self.weights.items()]
        score = torch.stack(terms).sum(0)
        scores, errors = score.new_tensor(self.scores), score.new_tensor(self.errors)
        right = torch.searchsorted(scores, score).clamp(1, len(scores) - 1)
        fraction = (score - scores[right - 1]) / (scores[right] - scores[right - 1])
        return torch.lerp(errors[right - 1], errors[right], fraction.clamp(0, 1))


def fit_error_model(
    evidence: Mapping[str, NDArray[np.float64]], error: NDArray[np.float64], knots: int
) -> ErrorModel:
    """Fit an error model to known errors.

    The weights are non-negative least squares, so that more evidence of an error never lowers its
    prediction. Voxels are sorted by the weighted sum and divided into bins, the higher the
    narrower; the mean errors of the bins, made monotone (isotonic regression), are the knots.

    Args:
        evidence: By name, each `(n,)`.
        error: Absolute error, share of the window, `(n,)`.
        knots: Most knots of the map.

    Raises:
        ValueError: If all voxels have the same evidence.
    """
    features = np.stack(list(evidence.values()), axis=1)
    small = _RIDGE * np.sqrt(len(error)) * np.eye(len(evidence))
    weights, _ = nnls(np.vstack([features, small]), np.append(error, np.zeros(len(evidence))))
    score = features @ weights
    levels = 1 - np.geomspace(1, _LAST_FRACTION, knots)
    edges = np.unique(np.quantile(score, levels))
    bins = np.searchsorted(edges, score, side="right") - 1
    counts = np.bincount(bins)
    if np.count_nonzero(counts) < 2:
        msg = f"no evidence tells {len(error)} voxels apart: expected scans that show something"
        raise ValueError(msg)
    means, errors = (np.bincount(bins, v)[counts > 0] / counts[counts > 0] for v in (score, error))
    monotone = isotonic_regression(errors, weights=counts[counts > 0]).x
    named = {name: float(weight) for name, weight in zip(evidence, weights, strict=True)}
    return ErrorModel(named, means.tolist(), monotone.tolist())
