"""How two views of a subject teach: they must be segmented alike once they are aligned.

`found` is a pair of matrices between the cubes of two views: from the first to the second, and
back.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from slicefill.registration.alignnet.network import warp

Segment = Callable[[Tensor], Tensor]
"""From cubes `(B, 1, N, N, N)` to class probabilities `(B, K, N, N, N)`."""


def segmenter_consistency(
    segment: Segment, first: Tensor, second: Tensor, found: tuple[Tensor, Tensor]
) -> Tensor:
    """L_cons1: a view that is moved onto the other must be segmented as the other is.

    Only the segmenter learns from it: where views lie is taken as it is.

    Args:
        segment: The network.
        first: Image and field, `(B, 2, N, N, N)`.
        second: The same.
        found: Matrices, `(B, 4, 4)`.

    Reference:
        SuperMask, eq. (2); means of squares over voxels and classes, inside both fields.
    """
    terms = []
    for moving, fixed, matrix in _both(first, second, found):
        moved = warp(moving, matrix.detach())
        inside = _inside(moved[:, 1:], fixed[:, 1:])
        terms.append(_apart(segment(moved[:, :1]), segment(fixed[:, :1]), inside))
    return torch.stack(terms).sum()


def aligner_consistency(
    segment: Segment, first: Tensor, second: Tensor, found: tuple[Tensor, Tensor]
) -> Tensor:
    """L_cons2: the segmentation of a view, moved, must be that of the other.

    Only what found the matrices learns from it: segmentations are taken as they are.

    Args:
        segment: The network.
        first: Image and field, `(B, 2, N, N, N)`.
        second: The same.
        found: Matrices, `(B, 4, 4)`.

    Reference:
        SuperMask, eq. (2), as its code pairs them.
    """
    with torch.no_grad():
        masks = {id(view): segment(view[:, :1]) for view in (first, second)}
    terms = []
    for moving, fixed, matrix in _both(first, second, found):
        moved = warp(masks[id(moving)], matrix)
        with torch.no_grad():
            inside = _inside(warp(moving[:, 1:], matrix), fixed[:, 1:])
        terms.append(_apart(moved, masks[id(fixed)], inside))
    return torch.stack(terms).sum()


def _both(
    first: Tensor, second: Tensor, found: tuple[Tensor, Tensor]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Moving view, fixed view, and the matrix from the fixed to the moving one; both ways."""
    to_second, to_first = found
    return [(second, first, to_second), (first, second, to_first)]


def _inside(moved: Tensor, fixed: Tensor) -> Tensor:
    return ((moved > 0.5) & (fixed > 0.5)).float()


def _apart(first: Tensor, second: Tensor, inside: Tensor) -> Tensor:
    """Mean squared difference over classes and the voxels inside."""
    total = ((first - second) ** 2 * inside).sum()
    return total / (inside.sum() * first.shape[1]).clamp(min=1)
