"""Where every slice of a filled case comes from, and how far the synthetic ones are trusted."""

from typing import Any

import numpy as np

from slicefill.types import Array, Filling, Stack

_DIGITS = 5


def trust_record(stack: Stack, filling: Filling) -> dict[str, Any]:
    """Say what trust means, and how much of it there is.

    Returns:
        `trust`, which measure it is (see `Filling`); `abstained`, the mean share of a synthetic
        slice at which a classical method was believed, None where the method cannot abstain; and
        `slices`, in the order of the dense grid: of each its `index`; of an acquired one the index
        in the stack, `acquired`; of a synthetic one the two it lies `between`, its position `t`,
        mean `trust`, and `abstained`. Means are over the voxels at which either of the two shows
        more than background; None where there is none.
    """
    slices = _trace(stack, filling)
    shares = [one["abstained"] for one in slices if one.get("abstained") is not None]
    abstained = round(float(np.mean(shares)), _DIGITS) if shares else None
    return {"trust": filling.measure, "abstained": abstained, "slices": slices}


def _trace(stack: Stack, filling: Filling) -> list[dict[str, Any]]:
    step = filling.trust.shape[1] + 1
    shows: Array = np.any(stack.normalised() > 0, axis=1)
    slices: list[dict[str, Any]] = []
    for gap in range(len(stack.image) - 1):
        slices.append({"index": gap * step, "acquired": gap})
        there = shows[gap] | shows[gap + 1]
        for n in range(step - 1):
            place = {"index": gap * step + n + 1, "between": [gap, gap + 1], "t": (n + 1) / step}
            slices.append({**place, **_belief(filling, (gap, n), there)})
    return [*slices, {"index": len(slices), "acquired": len(stack.image) - 1}]


def _belief(filling: Filling, place: tuple[int, int], there: Array) -> dict[str, float | None]:
    """Mean trust, and share abstained from, of one synthetic slice where it shows something."""
    maps = {"trust": filling.trust, "abstained": filling.abstained}
    return {name: _mean(each[place], there) for name, each in maps.items() if each is not None}


def _mean(values: Array, where: Array) -> float | None:
    return round(float(values[where].mean(dtype=np.float64)), _DIGITS) if where.any() else None
