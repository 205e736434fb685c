"""What the network sees of a stack on its dense grid: candidates, distances, outlines."""

from collections.abc import Sequence

import numpy as np

from slicefill.imputation.areas import LabelAreas
from slicefill.imputation.distances import signed_distances
from slicefill.imputation.methods.classical import matched_score
from slicefill.imputation.methods.probabilistic.candidates import (
    FIXED,
    find_flows,
    fixed_candidates,
)
from slicefill.params.imputation import EndParams
from slicefill.types import Array, Floats

CANDIDATES = len(FIXED)
"""The first features: what a slice may be; of an acquired slice each is the slice itself."""
NEAR = CANDIDATES
"""The feature that says how far a slice lies from acquired ones: 0 there, 1 half-way."""
CHANGE = CANDIDATES + 2
"""The feature that says how much the image changes over the interval."""
_ABOVE = 1e-3  # pixels: what lies on an outline is inside
FURTHER = 3  # near, interval, change
DEEP = 8.0
"""Pixels: further inside or outside, a distance to an outline says no more."""


def count_features(labels: int) -> int:
    """Count the features of a scan with so many labels beside the background."""
    return CANDIDATES + FURTHER + labels


def describe_images(slices: Floats, positions: Sequence[float]) -> Floats:
    """Describe the images of a stack on its dense grid.

    Args:
        slices: Acquired, in [0, 1], `(D, H, W)`.
        positions: t of the synthetic slices of each interval, N of them, rising.

    Returns:
        Candidates, nearness to acquired slices, interval, change over the interval,
        `(6, D + (D - 1) N, H, W)`.
    """
    depth, count = len(slices), len(positions)
    made = np.empty((CANDIDATES + FURTHER, *_dense(slices, count)), np.float32)
    flows, step = find_flows(slices), count + 1
    change = np.abs(np.diff(slices, axis=0))
    made[:CANDIDATES, ::step] = slices
    made[CANDIDATES] = 0
    made[CANDIDATES + 1] = step / 8
    made[CANDIDATES + 2] = 0
    for n, t in enumerate(positions, start=1):
        found = fixed_candidates(slices, [t] * (depth - 1), flows)
        made[:CANDIDATES, n::step] = found.swapaxes(0, 1)
        made[CANDIDATES, n::step] = 2 * min(t, 1 - t)
        made[CANDIDATES + 2, n::step] = change
    return made


def describe_labels(label: Array, ids: Sequence[int], positions: Sequence[float]) -> Floats:
    """Interpolate the distances to the outlines of labels on the dense grid, as `shape_matched`.

    Args:
        label: Ids of acquired slices, `(D, H, W)`.
        ids: Which of them, the background aside.
        positions: As of `describe_images`.

    Returns:
        Shares of `DEEP`, positive inside, in [-1, 1], `(labels, D + (D - 1) N, H, W)`.
    """
    made = np.empty((len(ids), *_dense(label, len(positions))), np.float32)
    step = len(positions) + 1
    areas = LabelAreas.count(label).interpolate(positions, EndParams()) if positions else {}
    for own, identity in zip(made, ids, strict=True):
        mask = label == identity
        own[::step] = signed_distances(mask)
        if positions and identity in areas:
            found = matched_score(positions, mask, areas[identity])
            found = (found + _ABOVE).reshape(-1, len(positions), *mask.shape[1:])
            for n in range(1, step):
                own[n::step] = found[:, n - 1]
        elif positions:
            own[:] = -DEEP  # the scan does not show it
    return np.asarray(np.clip(made / DEEP, -1, 1), np.float32)


def _dense(slices: Array, count: int) -> tuple[int, ...]:
    return (len(slices) + (len(slices) - 1) * count, *slices.shape[1:])
