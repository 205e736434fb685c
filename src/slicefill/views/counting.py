"""Which label weighs most, at every voxel, whatever the number of labels."""

import numpy as np

from slicefill.types import Array, Floats


def heaviest(ids: Array, weights: Floats) -> tuple[Array, Floats]:
    """Find the label with the greatest sum of weights.

    Args:
        ids: Candidates, `(K, ...)`.
        weights: Of the candidates, ≥ 0, `(K, ...)`.

    Returns:
        The label, `(...)`, and its weight; label 0 where all weigh nothing. Of labels that weigh
        the same, that of the earliest candidate.

    Example:
        >>> ids, weights = np.array([[1], [2], [2]]), np.array([[0.5], [0.3], [0.3]])
        >>> label, weight = heaviest(ids, weights)
        >>> label.tolist(), weight.round(1).tolist()
        ([2], [0.6])
    """
    label, total = ids[0].copy(), weights.sum(axis=0)
    mixed = ((ids != ids[0]) & (weights > 0)).any(axis=0)
    if mixed.any():
        some, heavy = ids[:, mixed], weights[:, mixed]
        best, most = some[0].copy(), np.full(some.shape[1:], -1.0, heavy.dtype)
        for candidate in some:
            weight = np.where(some == candidate, heavy, 0).sum(axis=0)
            better = weight > most + np.finfo(np.float32).eps * 8
            best[better], most[better] = candidate[better], weight[better]
        label[mixed], total[mixed] = best, most
    label[total <= 0] = 0
    return label, total
