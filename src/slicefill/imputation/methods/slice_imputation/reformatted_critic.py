"""The critic of reformatted planes: training on scans of thick slices, without any truth between.

After Paavilainen et al. (2021), who translate between images that are not paired: planes across the
synthetic stack should look like acquired slices, whose pixels are as fine in both directions. The
other half of the supervision is the scan itself: acquired slices are part of the stack as they are,
and what lies between stays near their linear interpolation (term `upsampled`). Groups of acquired
slices have no truth at the interval of use; in-plane groups, thinned and with their truth, are the
paired part.
"""

import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.critic_kind import CriticKind
from slicefill.imputation.methods.slice_imputation.networks import Discriminator
from slicefill.imputation.methods.slice_imputation.synthesis import Synthesis

_APART = 8  # pixels between two planes that are judged: neighbours look alike


def _synthetic(made: Synthesis) -> Tensor | None:
    """Planes across the fine stack, `(P, C, D, w)`."""
    if made.fine is None:
        return None
    return torch.cat([_planes(fine) for fine in _both_ways(made.fine)])


def _real(made: Synthesis) -> Tensor | None:
    """As large pieces of the acquired slices, `(P, C, D, w)`."""
    if made.fine is None:
        return None
    acquired = made.batch.slices[made.batch.is_acquired]
    depth = made.fine.shape[1]
    return torch.cat([_pieces(slices, depth) for slices in _both_ways(acquired)])


def _both_ways(stack: Tensor) -> list[Tensor]:
    """The stack, and with rows and columns exchanged where they are as many."""
    square = stack.shape[-1] == stack.shape[-2]
    return [stack, stack.transpose(-1, -2)] if square else [stack]


def _planes(fine: Tensor) -> Tensor:
    """Cut `(B, D, C, h, w)` along its columns, every few rows."""
    start = min(_APART // 2, fine.shape[3] - 1)
    return fine[:, :, :, start::_APART].permute(0, 3, 2, 1, 4).flatten(0, 1)


def _pieces(slices: Tensor, depth: int) -> Tensor:
    """Cut `(B, S, C, h, w)` into pieces of so many rows; what is too short repeats its border."""
    flat = slices.flatten(0, 1)
    missing = depth - flat.shape[2]
    if missing > 0:
        flat = torch.nn.functional.pad(flat, (0, 0, 0, missing), mode="replicate")
    pieces = flat.unfold(2, depth, depth)  # (B S, C, k, w, depth)
    return pieces.permute(0, 2, 1, 4, 3).flatten(0, 1)


KIND = CriticKind(Discriminator, _real, _synthetic)
