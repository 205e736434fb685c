"""What a record says of every slice: where it comes from, and how far it is trusted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slicefill.types import Array, Stack, SyntheticSlices

_DIGITS = 5


def confidence_record(stack: Stack, synthetic: SyntheticSlices) -> dict[str, Any]:
    """Say what confidence means, and how much of it there is.

    Returns:
        `confidence`, which measure it is (see `SyntheticSlices`); `abstained`, the mean share of a
        synthetic slice at which a classical method was believed, None where the method cannot
        abstain; and `slices`, in the order of the dense grid: of each its `index`; of an acquired
        one the index in the stack, `acquired`; of a synthetic one the two it lies `between`, its
        position `t`, mean `confidence`, and `abstained`. Means are over the voxels at which either
        of the two shows more than background; None where there is none.
    """
    slices = _trace(stack, synthetic)
    return {
        "confidence": synthetic.measure,
        "abstained": mean_abstained(slices),
        "slices": slices,
    }


def acquired_places(slices: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Index of every acquired slice by its place in an imputed case, from `slices` of a record."""
    return {one["index"]: one["acquired"] for one in slices if "acquired" in one}


def mean_abstained(slices: Sequence[Mapping[str, Any]]) -> float | None:
    """Mean share of a synthetic slice at which a classical method was believed, if any says so."""
    shares = [one["abstained"] for one in slices if one.get("abstained") is not None]
    return round(float(np.mean(shares)), _DIGITS) if shares else None


def _trace(stack: Stack, synthetic: SyntheticSlices) -> list[dict[str, Any]]:
    step = synthetic.confidence.shape[1] + 1
    shows: Array = np.any(stack.normalised() > 0, axis=1)
    slices: list[dict[str, Any]] = []
    for interval in range(len(stack.image) - 1):
        slices.append({"index": interval * step, "acquired": interval})
        there = shows[interval] | shows[interval + 1]
        for n in range(step - 1):
            place = {
                "index": interval * step + n + 1,
                "between": [interval, interval + 1],
                "t": (n + 1) / step,
            }
            slices.append({**place, **_belief(synthetic, (interval, n), there)})
    return [*slices, {"index": len(slices), "acquired": len(stack.image) - 1}]


def _belief(
    synthetic: SyntheticSlices, place: tuple[int, int], there: Array
) -> dict[str, float | None]:
    """Mean confidence and abstained fraction of one synthetic slice where it shows something."""
    maps = {"confidence": synthetic.confidence, "abstained": synthetic.abstained}
    return {name: _mean(each[place], there) for name, each in maps.items() if each is not None}


def _mean(values: Array, where: Array) -> float | None:
    count = np.count_nonzero(where)
    if not count:
        return None
    few = values.dtype == bool
    total = np.count_nonzero(values & where) if few else values[where].sum(dtype=np.float64)
    return round(float(total / count), _DIGITS)
