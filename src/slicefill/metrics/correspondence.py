"""Slices of an imputed case and of the truth that show the same place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Slices that an imputed case and the truth both hold, in order.

    Attributes:
        axis: Through-plane array axis of both.
        imputed: Their indices in the imputed case, `(D,)`.
        truth: Their indices in the truth, `(D,)`, evenly spaced.
        synthetic: Which of them are synthetic, bool, `(D,)`.

    Raises:
        ValueError: If the slices of the truth are unevenly spaced.
    """

    axis: int
    imputed: Indices
    truth: Indices
    synthetic: NDArray[np.bool_]

    def __post_init__(self) -> None:
        steps = np.unique(np.diff(self.truth))
        if len(steps) != 1 or steps[0] < 1:
            msg = (
                "the slices of the truth that are compared must be evenly spaced and named once, "
                f"got steps of {steps.tolist()}: score every synthetic slice that has a real one"
            )
            raise ValueError(msg)

    @property
    def step(self) -> int:
        """Slices of the truth from one to the next."""
        return int(self.truth[1] - self.truth[0])


def corresponding_slices(record: Mapping[str, Any]) -> Correspondence | None:
    """Match the slices of an imputed case to those of the volume it was subsampled from.

    Slices after the last acquired one lie in no interval and are left out.

    Args:
        record: Of the imputed case: its `axis`, `count` and the `source` it was imputed from,
            which says by which `factor` it was subsampled.

    Returns:
        The matching slices, or None where no slice was removed, so that nothing is known.
    """
    source, step = record["source"], record["count"] + 1
    factor = source.get("factor", 1)
    if factor == 1 or step == 1:
        return None
    imputed = np.arange((len(source["kept"]) - 1) * step + 1)
    on_grid = imputed[imputed * factor % step == 0]
    synthetic = on_grid % step > 0
    if not synthetic.any():
        return None
    return Correspondence(record["axis"], on_grid, on_grid * factor // step, synthetic)
