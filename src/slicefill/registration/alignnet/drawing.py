"""What AlignNet learns from: pairs of views of one subject, each moved at random."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slicefill.registration.alignnet.cubes import Cube, Matrix
from slicefill.registration.alignnet.network import rigid_matrices, warp
from slicefill.registration.alignnet.params import Params


@dataclass(frozen=True, eq=False)
class Pair:
    """Two views.

    Attributes:
        fixed: The one that stays.
        moving: The other.
        between: From the cube of the fixed to that of the moving view, `(4, 4)`; None: not known.
    """

    fixed: Cube
    moving: Cube
    between: Matrix | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """A batch of pairs.

    Attributes:
        fixed: Image and field, `(B, 2, N, N, N)`.
        moving: The same.
        truth: From the fixed to the moving one, `(B, 4, 4)`; None: not known.
    """

    fixed: Tensor
    moving: Tensor
    truth: Tensor | None


def draw(pairs: Sequence[Pair], params: Params, rng: np.random.Generator, *, known: bool) -> Drawn:
    """Draw pairs and move both views at random.

    Args:
        pairs: To draw from.
        params: Size of a batch, ranges of the motions.
        rng: The same gives the same.
        known: Whether the motion between the views is drawn, of pairs that lie to each other in a
            way that is known; else both views of others are moved by up to half the ranges.
    """
    usable = [
        pair
        for pair in pairs
        if (pair.between is not None if known else pair.fixed is not pair.moving)
    ]
    usable = usable or list(pairs)  # a single view
    chosen = [usable[number] for number in rng.integers(len(usable), size=params.batch)]
    half = chosen[0].fixed.half
    first = motions(rng, params, half, 0.5)
    fixed = warp(stacked([pair.fixed for pair in chosen]), first)
    if known:
        truth = motions(rng, params, half, 1.0)
        between = np.stack([np.eye(4) if p.between is None else p.between for p in chosen])
        # M(B θ x) = M(φ A x), which is what F(A x) shows
        second = torch.from_numpy(between).float() @ first @ torch.linalg.inv(truth)
    else:
        truth, second = None, motions(rng, params, half, 0.5)
    return Drawn(fixed, warp(stacked([pair.moving for pair in chosen]), second), truth)


def motions(rng: np.random.Generator, params: Params, half: float, share: float) -> Tensor:
    """Draw matrices on normalised coordinates, `(B, 4, 4)`, uniform in a share of the ranges.

    Args:
        rng: The same gives the same.
        params: Their number and ranges.
        half: Half the side of the cube, mm.
        share: Of the ranges.
    """
    widths = [np.deg2rad(params.rotation), params.translation / half]
    angles, shifts = (rng.uniform(-w * share, w * share, (params.batch, 3)) for w in widths)
    return rigid_matrices(torch.from_numpy(angles).float(), torch.from_numpy(shifts).float())


def stacked(cubes: Sequence[Cube]) -> Tensor:
    """Image and field of every cube, `(B, 2, N, N, N)`."""
    both = [np.stack([cube.image, cube.field.astype(np.float32)]) for cube in cubes]
    return torch.from_numpy(np.stack(both))
