"""Where each method's slices lie among real ones: the first two axes of the reference encoder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.metrics import REAL, DescribedSet
from slicefill.metrics.realism.encoder import fit_encoder
from slicefill.metrics.realism.windows import describe_windows, gather
from slicefill.metrics.sets import BySubject, gather_described
from slicefill.types import Array

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["plane", "method", "n", "x", "y", "xx", "xy", "yy"]
_WINDOWS = f"{describe_windows.__module__}.{describe_windows.__qualname__}"


def ellipses(sets: Mapping[str, tuple[BySubject, BySubject]]) -> "pd.DataFrame":
    """Mean and covariance of encoded windows, per method and plane, and of the real ones.

    Args:
        sets: By method: what `metrics.sets.describe_case` kept of the scored and of the other
            cases, by subject.

    Returns:
        `plane`, `method`, `n` (windows), mean `x`, `y`, covariance `xx`, `xy`, `yy`; in the unit of
        the encoder. Empty where no windows were kept, and without a plane that has too few to find
        two axes in.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for method, (cases, training) in sets.items():
        described = DescribedSet(*(gather_described(_WINDOWS, own) for own in (cases, training)))
        for plane in ("in_plane", "reformatted"):
            made, real, seen = gather(described, plane)
            if min(len(made), len(real)) < 2:
                continue
            encoder = fit_encoder(seen if len(seen) > 1 else real)
            if encoder.axes.shape[1] < 2:
                continue
            if not any(row[:2] == (plane, REAL) for row in rows):
                rows.append((plane, REAL, *_moments(encoder(real))))
            rows.append((plane, method, *_moments(encoder(made))))
    return pd.DataFrame(rows, columns=COLUMNS)


def _moments(points: Array) -> tuple[float, ...]:
    first = points[:, :2]
    spread = np.cov(first, rowvar=False)
    return (len(points), *first.mean(axis=0), spread[0, 0], spread[0, 1], spread[1, 1])
