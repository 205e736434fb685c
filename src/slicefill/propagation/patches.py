"""Votes of like patches: labels of annotated slices by how alike the image around them looks."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from slicefill.params.propagation import PropagationParams
from slicefill.types import Floats

_LEAST = 1e-12  # of the sum of the votes
_SURE = 0.02  # votes of all and of none are within this of certainty


class Side(NamedTuple):
    """An annotated slice, moved to the slice whose labels are sought.

    Attributes:
        slices: In [0, 1], the slice and those beside it, `(P, C, H, W)`.
        masks: Of every label, `(K, H, W)`, in [0, 1].
        weight: Of its votes.
    """

    slices: Floats
    masks: Floats
    weight: float


def patch_votes(target: Floats, sides: tuple[Side, ...], params: PropagationParams) -> Floats:
    """Let the pixels around every pixel's place in the annotated slices vote by their patches.

    Args:
        target: The slice and those beside it, in [0, 1], `(P, C, H, W)`.
        sides: The annotated slices.
        params: How far is searched, the patch and the contrast.

    Returns:
        Share of the votes of every label, `(K, H, W)`.

    Reference:
        Coupé et al., Patch-based segmentation using expert priors, NeuroImage 2011.
    """
    reach, size = params.search, 2 * params.patch + 1
    height, width = target.shape[-2:]
    votes = np.zeros_like(sides[0].masks)
    total = np.full((height, width), _LEAST, np.float32)
    for side in sides:
        around = ((0, 0), (reach, reach), (reach, reach))
        slices = np.pad(side.slices, ((0, 0), *around), mode="edge")
        masks = np.pad(side.masks, around, mode="edge")
        for row, column in np.ndindex(2 * reach + 1, 2 * reach + 1):
            there = (..., slice(row, row + height), slice(column, column + width))
            apart = np.square(target - slices[there]).mean(axis=(0, 1))
            apart = uniform_filter(apart, size, mode="nearest")
            vote = side.weight * np.exp(-apart / params.contrast**2)
            total += vote
            votes += vote * masks[there]
    return votes / total


def log_odds(shares: Floats) -> Floats:
    """Log-odds of shares of votes, which are never certain.

    Example:
        >>> [round(odds, 1) for odds in log_odds(np.array([0, 0.5, 1], np.float32)).tolist()]
        [-3.9, 0.0, 3.9]
    """
    return np.asarray(np.log((shares + _SURE) / (1 - shares + _SURE)), np.float32)
