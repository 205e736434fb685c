"""The terms of the synthesis loss: eq. (7) to (12), the predicted error, cycle consistency.

Lower is better; 0 is perfect, save for `error_likelihood`.

Shapes: slices `(B, N, C, H, W)` in [0, 1]; flows `(B, 2, H, W)` in pixels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.groups import Batch
from slicefill.imputation.methods.slice_imputation.model import Flows, Motion, Pair
from slicefill.imputation.methods.slice_imputation.warping import warp


def reconstruction(synthetic: Tensor, real: Tensor) -> Tensor:
    """Mean absolute error of the synthetic slices, eq. (7) (index slips mended).

    Example:
        >>> import torch
        >>> reconstruction(torch.ones(1, 1, 1, 2, 2), torch.zeros(1, 1, 1, 2, 2))
        tensor(1.)
    """
    return F.l1_loss(synthetic, real)


def perceptual(synthetic: Tensor, real: Tensor, features: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean squared difference of VGG16 features, eq. (8), as implementations read its norm."""
    return F.mse_loss(features(synthetic.flatten(0, 1)), features(real.flatten(0, 1)))


def warping(batch: Batch, flows: Flows, motions: list[Motion]) -> Tensor:
    """How well each flow alone explains the slices, eq. (9) with backward flows.

    Args:
        batch: I_0, I_1 … I_N and I_{N+1}.
        flows: Between the two outer slices.
        motions: F̂_{n→0} and F̂_{n→N+1}, one per inner slice.
    """
    first, last, real = batch.first, batch.last, batch.inner
    between = F.l1_loss(warp(last, flows.forward), first) + F.l1_loss(
        warp(first, flows.backward), last
    )
    inner = [
        F.l1_loss(warp(first, motion.to_first), real[:, n])
        + F.l1_loss(warp(last, motion.to_last), real[:, n])
        for n, motion in enumerate(motions)
    ]
    return between + sum(inner[1:], inner[0]) / len(inner)


def smoothness(flows: Flows) -> Tensor:
    """Mean absolute in-plane gradient of both flows, pixels per pixel, eq. (10).

    Example:
        >>> import torch
        >>> ramp = torch.arange(3.0).expand(1, 2, 3, 3)
        >>> smoothness(Flows(ramp, ramp))
        tensor(2.)
    """
    gradients = [flow.diff(dim=dim).abs().mean() for flow in flows for dim in (2, 3)]
    return torch.stack(gradients).sum()


def through_plane_smoothness(first: Tensor, synthetic: Tensor, last: Tensor) -> Tensor:
    """Mean squared differences in the sagittal and the coronal views, eq. (12).

    The views cut the stack I_0, Î_1 … Î_N, I_{N+1}: the sagittal one holds differences across
    slices and along rows, the coronal one across slices and along columns; both are summed.

    Example:
        Two flat slices, 0 and 1, and one half-way: each of the two steps costs 0.25 in each view.

        >>> import torch
        >>> zero = torch.zeros(1, 1, 2, 2)
        >>> through_plane_smoothness(zero, zero[:, None] + 0.5, zero + 1)
        tensor(0.5000)
    """
    stack = cat_stack(first, synthetic, last)
    across, rows, columns = (stack.diff(dim=dim).square().mean() for dim in (1, 3, 4))
    return 2 * across + rows + columns


def error_likelihood(synthetic: Tensor, real: Tensor, motions: list[Motion]) -> Tensor:
    """How unlikely the errors are at the predicted size: Laplace, mean over voxels.

    |e| / b + log b is least where b is the expected absolute error. Only b learns from it: the
    slices are taken as they are.

    Example:
        Where every error is 0.5, predicting 0.5 costs 1 + log 0.5:

        >>> import torch
        >>> flat = torch.zeros(1, 1, 2, 2)
        >>> motion = Motion(flat, flat, flat, error=flat + 0.5)
        >>> round(float(error_likelihood(flat[:, None] + 0.5, flat[:, None], [motion])), 4)
        0.3069
    """
    error = (synthetic - real).detach().abs().mean(2, keepdim=True)
    expected = torch.stack([m.error for m in motions if m.error is not None], 1).clamp(min=1e-3)
    return (error / expected + expected.log()).mean()


def cycle(batch: Batch, halfway: Callable[[Pair], Tensor]) -> Tensor:
    """Mean absolute error of the middle slice, re-predicted from synthetic ones beside it.

    The slices half-way to both neighbours are synthesised, and from these two the middle one: the
    model works at the distance of acquired slices, where nothing in between is known.

    Args:
        batch: Groups of three slices, N = 1.
        halfway: Synthesises the slice half-way between two, `(B, C, H, W)`.

    Example:
        Linear interpolation of 0, 1, 0 gives 1/2 and 1/2, and 1/2 between these:

        >>> import torch
        >>> slices = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2)
        >>> batch = Batch(slices, torch.zeros(1, 1))
        >>> cycle(batch, lambda pair: (pair.first + pair.last) / 2)
        tensor(0.5000)
    """
    real = batch.inner[:, 0]
    outer = torch.cat([batch.first, batch.last], 1)
    before = halfway(Pair(batch.first, real, outer))
    after = halfway(Pair(real, batch.last, outer))
    return F.l1_loss(halfway(Pair(before, after)), real)


def cat_stack(first: Tensor, synthetic: Tensor, last: Tensor) -> Tensor:
    """Stack I_0, Î_1 … Î_N, I_{N+1}: `(B, N + 2, C, H, W)`."""
    return torch.cat([first[:, None], synthetic, last[:, None]], 1)
