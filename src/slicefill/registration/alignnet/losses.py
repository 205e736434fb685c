"""What AlignNet learns from: likeness of the aligned views, identity, or a motion that is known."""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

_SMOOTH = 1e-5  # beside the product of the two variances, each summed over the window


def local_correlation(first: Tensor, second: Tensor, inside: Tensor, window: int) -> Tensor:
    """Mean of the squared correlation in a window about every voxel, [0, 1].

    Args:
        first: `(B, 1, N, N, N)`.
        second: The same.
        inside: Where it is averaged, 0 or 1, of the same shape.
        window: Side, voxels, odd.

    Example:
        >>> image = torch.rand(1, 1, 9, 9, 9)
        >>> round(local_correlation(image, 3 - 2 * image, torch.ones_like(image), 5).item(), 3)
        1.0
    """
    count = window**3
    means = [_box(each, window) for each in (first, second)]
    variances = [
        count * (_box(each**2, window) - mean**2).clamp(min=0)
        for each, mean in zip((first, second), means, strict=True)
    ]
    covariance = count * (_box(first * second, window) - means[0] * means[1])
    squared = covariance**2 / (variances[0] * variances[1] + _SMOOTH)
    return (squared * inside).sum() / inside.sum().clamp(min=1)


def _box(image: Tensor, window: int) -> Tensor:
    """Mean in a window, by three means along one axis each; smaller at the edge."""
    for axis in range(3):
        size = [1, 1, 1]
        size[axis] = window
        padding = [each // 2 for each in size]
        image = F.avg_pool3d(image, size, 1, padding, count_include_pad=False)
    return image


def displacement(found: Tensor, truth: Tensor) -> Tensor:
    """Mean squared distance between where two matrices put the corners of half the cube.

    Args:
        found: `(B, 4, 4)`.
        truth: The same.

    Example:
        >>> truth, found = torch.eye(4)[None], torch.eye(4)[None]
        >>> found[0, :3, 3] = torch.tensor([0.3, 0, 0.4])
        >>> round(displacement(found, truth).item(), 3)
        0.25
    """
    corners = torch.tensor(list(product((-0.5, 0.5), repeat=3)), device=found.device)
    points = torch.cat([corners, torch.ones(len(corners), 1, device=found.device)], 1)
    apart = (found - truth) @ points.T
    return (apart[:, :3] ** 2).sum(1).mean()
