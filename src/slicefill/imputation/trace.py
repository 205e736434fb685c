"""What a record says of every slice: where it comes from, and how far it is trusted."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from slicefill.imputation.dense_grid import DenseGrid
from slicefill.types import Array, Stack, SyntheticSlices

_DIGITS = 5


def confidence_record(stack: Stack, synthetic: SyntheticSlices, grid: DenseGrid) -> dict[str, Any]:
    """Say what confidence means, and how much of it there is.

    Returns:
        `confidence`, which measure it is (see `SyntheticSlices`); `abstained`, the mean share of a
        synthetic slice at which a classical method was believed, None where the method cannot
        abstain; and `slices`, in the order of the dense grid: of each its `index`; of an acquired
        one the index in the stack, `acquired`; of a synthetic one the two it lies `between`, its
        position `t`, mean `confidence`, and `abstained`. Means are over the voxels at which either
        of the two shows more than background; None where there is none.
    """
    slices = _trace(stack, synthetic, grid)
    return {
        "confidence": synthetic.measure,
        "abstained": _mean_abstained(slices),
        "slices": slices,
    }


def acquired_places(slices: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Index of every acquired slice by its place in an imputed case, from `slices` of a record."""
    return {one["index"]: one["acquired"] for one in slices if "acquired" in one}


def _mean_abstained(slices: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean share of a synthetic slice at which a classical method was believed, if any says so."""
    shares = [one["abstained"] for one in slices if one.get("abstained") is not None]
    return round(float(np.mean(shares)), _DIGITS) if shares else None


def _trace(stack: Stack, synthetic: SyntheticSlices, grid: DenseGrid) -> list[dict[str, Any]]:
    """Mean confidence and abstained fraction are of where a synthetic slice shows something."""
    shows: Array = np.any(stack.normalised() > 0, axis=1)
    maps = {"confidence": synthetic.confidence, "abstained": synthetic.abstained}
    each = {name: chain.from_iterable(own) for name, own in maps.items() if own is not None}
    slices: list[dict[str, Any]] = []
    for index, (interval, t) in enumerate(grid.places):
        if not t:
            slices.append({"index": index, "acquired": interval})
            continue
        there = shows[interval] | shows[interval + 1]
        belief = {name: _mean(next(own), there) for name, own in each.items()}
        slices.append({"index": index, "between": [interval, interval + 1], "t": t, **belief})
    return slices


def _mean(values: Array, where: Array) -> float | None:
    count = np.count_nonzero(where)
    if not count:
        return None
    few = values.dtype == bool
    total = np.count_nonzero(values & where) if few else values[where].sum(dtype=np.float64)
    return round(float(total / count), _DIGITS)
