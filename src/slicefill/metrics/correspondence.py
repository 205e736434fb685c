"""Which slices of a filled case show the same place as which slices of the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from slicefill.metrics.scoring import Scored


def corresponding_slices(record: Mapping[str, Any], names: Mapping[int, str]) -> Scored | None:
    """Match the slices of a filled case to those of the volume it was thinned from.

    Slices after the last acquired one cannot be bracketed and take no part.

    Args:
        record: Of the filled case: its `axis`, `count` and the `source` it was filled from,
            which says by which `factor` it was thinned.
        names: Label names by id.

    Returns:
        The matching slices, or None where no slice was removed, so that nothing is known.
    """
    source, step = record["source"], record["count"] + 1
    factor = source.get("factor", 1)
    if factor == 1 or step == 1:
        return None
    filled = np.arange((len(source["kept"]) - 1) * step + 1)
    on_grid = filled[filled * factor % step == 0]
    acquired = on_grid % step == 0
    synthetic = on_grid[~acquired]
    if len(synthetic) == 0:
        return None
    return Scored(
        axis=record["axis"],
        filled_index=synthetic,
        truth_index=synthetic * factor // step,
        acquired_filled=on_grid[acquired],
        acquired_truth=on_grid[acquired] * factor // step,
        names=names,
    )
