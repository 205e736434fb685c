"""What a synthetic slice may be, before a network has learned which is best where."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from slicefill.imputation.methods.classical import slice_weights
from slicefill.imputation.optical_flow import blend_along, dis_flow
from slicefill.types import Floats

FIXED = ("linear", "bspline", "dis")
"""Candidates that need no network, in their order."""

Flows = tuple[Floats, Floats]
"""Motion between two neighbours, forth and back, `(2, H, W)` each."""


def find_flows(slices: Floats) -> list[Flows]:
    """Find the motion in every interval of slices in [0, 1], `(D, H, W)`."""
    return [(dis_flow(a, b), dis_flow(b, a)) for a, b in pairwise(slices)]


def fixed_candidates(
    slices: Floats,
    positions: Sequence[float],
    flows: Sequence[Flows],
) -> Floats:
    """Make the candidates of one position in each interval.

    Args:
        slices: Of the whole stack, intensities in [0, 1], `(D, H, W)`.
        positions: t of each interval, n of them.
        flows: Of every interval.

    Returns:
        `(n, 3, H, W)`.
    """
    made = np.empty((len(positions), len(FIXED), *slices.shape[1:]), np.float32)
    flat = slices.reshape(len(slices), -1)
    for k, t in enumerate(positions):
        pair = slices[k, None], slices[k + 1, None]
        spline = slice_weights("bspline", len(slices), [t])[k]
        made[k, 0] = (1 - t) * slices[k] + t * slices[k + 1]
        made[k, 1] = (spline @ flat).reshape(slices.shape[1:])
        made[k, 2] = blend_along(*pair, flows[k], t)[0]
    return made
