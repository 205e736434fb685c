"""Distances of two sets of points, and whether a classifier tells them apart."""

import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array

Points = NDArray[np.float64]
_FOLDS = 5


def balanced_accuracy(made: Points, real: Points, whose_made: Array, whose_real: Array) -> float:
    """Classifier two-sample test: balanced accuracy on subjects that the classifier did not see.

    Logistic regression of standardised features; five folds, or one per subject if they are fewer.
    Subjects with windows of one set alone are left out.

    Args:
        made: Features of synthetic windows, `(n, d)`.
        real: Of real ones, `(m, d)`.
        whose_made: Subject of each, `(n,)`.
        whose_real: `(m,)`.

    Returns:
        0.5: they cannot be told apart; 1: always. nan with fewer than two subjects in both sets.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    groups = np.concatenate([whose_made, whose_real])
    shared = np.intersect1d(whose_made, whose_real)
    if len(shared) < 2:
        return float("nan")
    kept = np.isin(groups, shared)
    classes = np.repeat([1, 0], [len(made), len(real)])[kept]
    features, groups = np.concatenate([made, real])[kept], groups[kept]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = GroupKFold(min(_FOLDS, len(shared)))
    found = cross_val_predict(model, features, classes, groups=groups, cv=folds)
    return float(balanced_accuracy_score(classes, found))


def mahalanobis(made: Points, real: Points) -> float:
    """Mean Mahalanobis distance, squared, of synthetic points to the real ones.

    Σ of the real points is shrunk (Ledoit-Wolf). Of the same distribution: about d.
    """
    from sklearn.covariance import LedoitWolf

    if len(made) < 1 or len(real) < 2:
        return float("nan")
    return float(LedoitWolf().fit(real).mahalanobis(made).mean())


def frechet(made: Points, real: Points) -> float:
    """Fréchet distance, squared, of two normal distributions fitted to points; 0 is best.

    |μ - ν|² + tr(S + T - 2 (S T)^½). Biased upwards by few points: read it beside real against
    real.

    Example:
        Unit variance at a distance of 3:

        >>> points = np.array([[-1.0], [1.0]])
        >>> round(frechet(points + 3, points), 6)
        9.0
    """
    if min(len(made), len(real)) < 2:
        return float("nan")
    one, other = (np.atleast_2d(np.cov(points, rowvar=False)) for points in (made, real))
    apart = np.square(made.mean(axis=0) - real.mean(axis=0)).sum()
    # Of a product of positive matrices: its eigenvalues are real and at least 0.
    roots = np.sqrt(np.clip(np.linalg.eigvals(one @ other).real, 0, None)).sum()
    return float(apart + np.trace(one) + np.trace(other) - 2 * roots)


def mmd(made: Points, real: Points, width: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy, Gaussian kernel; 0 for the same distribution.

    Args:
        made: `(n, d)`, n at least 2.
        real: `(m, d)`, m at least 2.
        width: σ of the kernel; the median distance of real points if omitted.

    Returns:
        At most 2; it may be below 0 by chance. nan if a set is too small.
    """
    from scipy.spatial.distance import cdist, pdist

    if min(len(made), len(real)) < 2:
        return float("nan")
    sigma = width or float(np.median(pdist(real))) or 1.0

    def kernel(one: Points, other: Points) -> Points:
        values: Points = np.exp(-cdist(one, other, "sqeuclidean") / (2 * sigma**2))
        return values

    n, m = len(made), len(real)
    within = (kernel(made, made).sum() - n) / (n * (n - 1))
    among = (kernel(real, real).sum() - m) / (m * (m - 1))
    return float(within + among - 2 * kernel(made, real).mean())
