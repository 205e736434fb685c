"""Which slices of an imputed case show the same place as which slices of the truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from slicefill.metrics.scoring import Scored


def corresponding_slices(record: Mapping[str, Any], names: Mapping[int, str]) -> Scored | None:
    """Match the slices of an imputed case to those of the volume it was subsampled from.

    Slices after the last acquired one cannot be bracketed and take no part.

    Args:
        record: Of the imputed case: its `axis`, `count` and the `source` it was imputed from,
            which says by which `factor` it was subsampled.
        names: Label names by id.

    Returns:
        The matching slices, or None where no slice was removed, so that nothing is known.
    """
    source, step = record["source"], record["count"] + 1
    factor = source.get("factor", 1)
    if factor == 1 or step == 1:
        return None
    imputed = np.arange((len(source["kept"]) - 1) * step + 1)
    on_grid = imputed[imputed * factor % step == 0]
    acquired = on_grid % step == 0
    synthetic = on_grid[~acquired]
    if len(synthetic) == 0:
        return None
    return Scored(
        axis=record["axis"],
        imputed_index=synthetic,
        truth_index=synthetic * factor // step,
        acquired_imputed=on_grid[acquired],
        acquired_truth=on_grid[acquired] * factor // step,
        names=names,
    )
