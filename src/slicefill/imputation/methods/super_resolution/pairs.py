"""Low- and high-resolution pairs out of isotropic cases, and the views that they are cut from."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from slicefill.geometry import through_plane_axis
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.super_resolution.params import Params
from slicefill.training.cache import BoundedCache
from slicefill.types import Floats, Promise

VIEWS = {"rows": (2, 1, 0, 3), "columns": (3, 1, 0, 2)}
"""How a stack `(D, C, H, W)` is cut into slices along its slice axis.

`rows` gives `(H, C, D, W)` and `columns` gives `(W, C, D, H)`: the coronal and the sagittal
slices of an axial scan.
"""


class Pairs(NamedTuple):
    """A batch of patches; low-resolution row k is high-resolution row k * R.

    Attributes:
        low: `(B, C, slices, pixels)`, intensities in [0, 1].
        high: `(B, C, slices * R, pixels)`, likewise.
    """

    low: Tensor
    high: Tensor


class StackCache(BoundedCache[Floats]):
    """Isotropic cases as stacks `(D, C, H, W)`, intensities in [0, 1].

    Each is read once at the start: whether they fit together, and how many memory holds at a
    time, then does not depend on which are asked for first.

    Attributes:
        names: All cases.
        channels: Image channels C of all.
    """

    def __init__(self, cases: Mapping[str, Promise], params: Params) -> None:
        """Read every case once.

        Raises:
            ValueError: If there is no case, one has too few slices, or channels differ.
        """

        def load(name: str) -> Floats:
            case = cases[name].make()
            axis = through_plane_axis(case.image.affine, params.through_plane)
            return stack_case(case, axis, params.window).normalised()

        super().__init__(load, lambda stack: stack.nbytes, params.optimisation.cache_gb)
        self.names = sorted(cases)
        shapes = {name: self[name].shape for name in self.names}
        self.channels = _require_alike(shapes, params.factor)


def draw_pairs(
    stacks: StackCache, params: Params, epoch: int, processes: int = 1
) -> Iterator[Pairs]:
    """Draw the batches of an epoch for all processes; all follows from the seed and the epoch.

    Patches come from all cases and both views, start at any true row, and are mirrored along
    their pixels at random. Along their rows they are not: the rows between two acquired ones
    follow the acquired row they belong to.
    """
    rng = np.random.default_rng((params.seed, epoch))
    options = params.optimisation
    for names in _spread(stacks, options.steps_per_epoch, rng):
        chosen = sorted(rng.choice(names, options.batch * processes).tolist())
        high = torch.from_numpy(np.stack([_cut_patch(stacks[n], params, rng) for n in chosen]))
        yield Pairs(high[:, :, :: params.factor], high)


def _spread(stacks: StackCache, steps: int, rng: np.random.Generator) -> Iterator[list[str]]:
    """Cases to draw from at each step: one block after another that memory holds at a time."""
    order = rng.permutation(stacks.names).tolist()
    blocks = [order[i : i + stacks.room] for i in range(0, len(order), stacks.room)]
    for step in range(steps):
        yield blocks[step * len(blocks) // steps]


def _cut_patch(stack: Floats, params: Params, rng: np.random.Generator) -> Floats:
    """Cut a high-resolution patch, `(C, slices * R, pixels)`."""
    slices = stack.transpose(list(VIEWS.values())[rng.integers(len(VIEWS))])
    patch = slices[rng.integers(len(slices))]
    rows, pixels = params.optimisation.patch
    patch = _cut_or_extend(patch, 1, rows * params.factor, rng)
    patch = _cut_or_extend(patch, 2, pixels, rng)
    return np.ascontiguousarray(patch[..., ::-1] if rng.random() < 0.5 else patch)


def _cut_or_extend(patch: Floats, dim: int, size: int, rng: np.random.Generator) -> Floats:
    """Cut `size` at random, or repeat the last row or pixel where there are fewer."""
    start = int(rng.integers(max(0, patch.shape[dim] - size) + 1))
    last = patch.shape[dim] - 1
    found: Floats = patch.take(np.minimum(np.arange(start, start + size), last), axis=dim)
    return found


def _require_alike(shapes: Mapping[str, tuple[int, ...]], factor: int) -> int:
    """Return the channels that all cases have."""
    if not shapes:
        msg = "super-resolution: expected isotropic cases to learn from and to validate on, got 0"
        raise ValueError(msg)
    for name, (depth, *_) in shapes.items():
        if depth <= factor:
            msg = (
                f"{name}: expected more than super_resolution.factor {factor} slices, got {depth};"
                " lower the factor or leave out the case"
            )
            raise ValueError(msg)
    channels = {name: shape[1] for name, shape in shapes.items()}
    if len(set(channels.values())) > 1:
        msg = f"super-resolution: expected cases with as many channels each, got {channels}"
        raise ValueError(msg)
    return next(iter(channels.values()))
