"""Fusion of several views of one subject into one label map, a KIND: every file here is one."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel

from slicefill.grids.sampled import Sampled
from slicefill.plugins import System, find_system
from slicefill.types import Array, Floats

FOLDER = __name__


class FusionFile(Protocol):
    """What a file in this folder defines.

    `WHOLE = True` in it asks for the whole grid at once; else voxels come a slab at a time.
    """

    Params: type[BaseModel]

    def fuse(self, views: Sequence[Sampled], params: Any) -> tuple[Array, Floats]:
        """Fuse the labels of views that are sampled on one grid.

        Args:
            views: At least one; the first is the reference if it is labelled.
            params: The entry, validated.

        Returns:
            Label ids `(I, J, K)`, 0 where no view covers a voxel; and how much speaks for them, as
            if every view could say up to 1, `(I, J, K)`.
        """


def find_fusion(entry: dict[str, Any]) -> System:
    """Find the kind of fusion that an entry of `conf/` names.

    Raises:
        ValueError: If there is no such kind, or the entry does not fit its `Params`.
    """
    return find_system(FOLDER, "fusion", entry)


def fuse(views: Sequence[Sampled], system: System) -> tuple[Array, Floats]:
    """Fuse sampled views (`FusionFile.fuse`).

    Raises:
        ValueError: If there is no view, or the views lie on different grids.
    """
    shapes = {view.place.shape for view in views}
    if len(shapes) != 1:
        msg = f"fusion: expected views on one grid, got {sorted(shapes) or 'no view'}"
        raise ValueError(msg)
    label, weight = system.module.fuse(views, system.params)
    return label, np.asarray(weight, dtype=np.float32)


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
