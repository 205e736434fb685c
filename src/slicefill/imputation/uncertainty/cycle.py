"""Cycle error: the error of acquired slices predicted from the synthetic ones beside them."""

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.foreground import Box, batches
from slicefill.imputation.methods.slice_imputation.infer import FlowImputer, motions
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.types import Floats, Stack, SyntheticSlices


@torch.no_grad()
def cycle_error(imputer: FlowImputer, stack: Stack, synthetic: SyntheticSlices) -> Floats:
    """Re-predict every inner acquired slice half-way between its two synthetic neighbours.

    Wrong motion does not lead back to the slice where it began. A model that sees the slices beyond
    its two inputs gets those three steps of the dense grid away.

    Args:
        imputer: The model that imputed the stack.
        stack: At least three slices.
        synthetic: At least one synthetic slice in each interval.

    Returns:
        Absolute difference from what was acquired, mean over the model's channels in [0, 1]
        units, `(D, H, W)`; the first and the last slice take that of their neighbour.
    """
    dense = torch.from_numpy(_dense(stack, synthetic)[:, : imputer.model.channels])
    step = synthetic.image.shape[1] + 1
    errors = torch.zeros(len(stack.image), *dense.shape[2:])
    for intervals, box in batches(dense[step::step], imputer.batch_pixels):
        inner = torch.arange(intervals.start, intervals.stop) + 1
        errors[inner] = box.paste(_repredict(imputer, dense, inner * step, box))
    errors[0], errors[-1] = errors[1], errors[-2]
    return errors.numpy()


def _repredict(imputer: FlowImputer, dense: Tensor, places: Tensor, box: Box) -> Tensor:
    """Error of slices `(n,)` of the dense grid, predicted from those next to them, in a box."""

    def at(offset: int) -> Tensor:
        beyond = (places + offset < 0) | (places + offset >= len(dense))
        found = torch.where(beyond, places + int(np.sign(offset)), places + offset)
        chosen = box.cut(dense)[found].to(imputer.fabric.device)
        return chosen.contiguous(memory_format=torch.channels_last)

    pair = Pair(at(-1), at(1), torch.cat([at(-3), at(3)], 1))
    _, motion = next(motions(imputer, pair, [0.5]))
    predicted = motion.render(pair.first, pair.last)
    return (predicted - at(0)).abs().mean(1).cpu()


def _dense(stack: Stack, synthetic: SyntheticSlices) -> Floats:
    """Acquired and synthetic slices in order, in [0, 1], `((D - 1) · (N + 1) + 1, C, H, W)`."""
    depth, count = len(stack.image), synthetic.image.shape[1]
    stored = np.empty(((depth - 1) * (count + 1) + 1, *stack.image.shape[1:]), np.float32)
    stored[:: count + 1] = stack.image
    for n in range(count):
        stored[n + 1 :: count + 1] = synthetic.image[:, n]
    return Stack(stored, stack.window).normalised()
