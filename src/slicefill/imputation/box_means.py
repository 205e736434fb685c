"""Means over squares around every pixel, in a time that does not depend on their size.

On a CPU by OpenCV's running sums, elsewhere by torch. They are not differentiable.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.types import Array


def mean_repeated(maps: Tensor, size: int) -> Tensor:
    """Average `(B, C, H, W)` over squares of `size` pixels a side, odd; edges are repeated.

    Example:
        >>> mean_repeated(torch.tensor([0.0, 0.0, 3.0]).expand(1, 1, 3, 3), 3)[0, 0, 0]
        tensor([0., 1., 2.])
    """
    if maps.device.type != "cpu":
        averaged = F.pad(maps, (size // 2,) * 4, mode="replicate")
        for dim in (2, 3):  # rows, then columns
            averaged = averaged.unfold(dim, size, 1).mean(-1)
        return averaged
    import cv2

    sides, edges = (size, size), cv2.BORDER_REPLICATE
    return _each(maps, lambda one, made: cv2.blur(one, sides, made, borderType=edges))


def mean_inside(maps: Tensor, rows: int, columns: int) -> Tensor:
    """Average `(..., H, W)` over rectangles; at the border over the part inside.

    Args:
        maps: On any device.
        rows: Pixels above and below.
        columns: Pixels on either side.

    Example:
        >>> mean_inside(torch.tensor([[0.0, 2.0, 4.0]]), 0, 1)
        tensor([[1., 2., 3.]])
    """
    sides = 2 * columns + 1, 2 * rows + 1
    if maps.device.type != "cpu":
        flat = maps.reshape(-1, 1, *maps.shape[-2:])
        padding = rows, columns
        mean = F.avg_pool2d(flat, sides[::-1], 1, padding, count_include_pad=False)
        return mean.view(maps.shape)
    import cv2

    outside = cv2.BORDER_CONSTANT  # zeros

    def total(one: Array, made: Array) -> None:
        cv2.boxFilter(one, -1, sides, made, normalize=False, borderType=outside)

    height, width = maps.shape[-2:]
    counts = np.outer(_inside(height, rows), _inside(width, columns))
    return _each(maps, total).mul_(torch.from_numpy(1 / counts).to(maps))


def _inside(length: int, radius: int) -> Array:
    """How many pixels of a line lie within a radius of each."""
    places = np.arange(length)
    return np.minimum(places + radius, length - 1) - np.maximum(places - radius, 0) + 1


def _each(maps: Tensor, fill: Callable[[Array, Array], object]) -> Tensor:
    """Filter every map of `(..., H, W)`."""
    flat = maps.reshape(-1, *maps.shape[-2:]).contiguous().numpy()
    made = np.empty_like(flat)
    for one, filtered in zip(flat, made, strict=True):
        fill(one, filtered)
    return torch.from_numpy(made).view(maps.shape)
