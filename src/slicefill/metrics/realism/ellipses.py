"""Where each method's slices lie among real ones: the first two axes of the reference encoder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.metrics import REAL, DescribedSet
from slicefill.metrics.realism.encoder import fit_encoder
from slicefill.metrics.realism.windows import describe_windows, gather
from slicefill.types import Array

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["view", "method", "n", "x", "y", "xx", "xy", "yy"]
_WINDOWS = describe_windows.__name__


def ellipses(sets: Mapping[str, Any]) -> "pd.DataFrame":
    """Mean and covariance of encoded windows, per method and view, and of the real ones.

    Args:
        sets: By method: what `metrics.sets.describe_case` kept of the scored and of the other
            cases, by subject.

    Returns:
        `view`, `method`, `n` (windows), mean `x`, `y`, covariance `xx`, `xy`, `yy`; in the unit of
        the encoder. Empty where no windows were kept.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for method, (cases, training) in sets.items():
        described = DescribedSet(_windows(cases), _windows(training))
        for view in ("in_plane", "reformatted"):
            made, real, seen = gather(described, view)
            if min(len(made), len(real)) < 2:
                continue
            encoder = fit_encoder(seen if len(seen) > 1 else real)
            if not any(row[:2] == (view, REAL) for row in rows):
                rows.append((view, REAL, *_moments(encoder(real))))
            rows.append((view, method, *_moments(encoder(made))))
    return pd.DataFrame(rows, columns=COLUMNS)


def _windows(cases: Mapping[str, Any]) -> dict[str, list[Array]]:
    return {
        subject: [one for case in own for one in case.get(_WINDOWS, [])]
        for subject, own in cases.items()
    }


def _moments(points: Array) -> tuple[float, ...]:
    first = points[:, :2]
    spread = np.cov(first, rowvar=False)
    return (len(points), *first.mean(axis=0), spread[0, 0], spread[0, 1], spread[1, 1])
