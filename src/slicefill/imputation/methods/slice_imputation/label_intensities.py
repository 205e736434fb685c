"""What labels look like nearby: intensities decide where outlines leave it open."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from slicefill.imputation.box_means import mean_repeated
from slicefill.imputation.methods.slice_imputation.foreground import Box

_NOISE = 0.05  # standard deviation that any label has, in [0, 1] units
_FEWEST = 1e-4  # share of the neighbourhood below which a label is not there
_LOWEST = -4.0  # log-likelihood relative to the likeliest label: no voxel rules a label out


class Look(NamedTuple):
    """Intensities of one label around every pixel of some intervals.

    Attributes:
        mean: `(B, C, H, W)`, in [0, 1].
        variance: The same.
        there: Whether the label is nearby at all, `(B, 1, H, W)`.
    """

    mean: Tensor
    variance: Tensor
    there: Tensor


def look_at_labels(
    ids: Tensor, shown: Tensor, boxes: Mapping[int, Box], nearby: int
) -> dict[int, Look]:
    """Gather mean and variance of labels around every pixel of two neighbouring slices.

    Args:
        ids: On consecutive slices, `(B + 1, H, W)`.
        shown: Their intensities in [0, 1], `(B + 1, C, H, W)`.
        boxes: By id, beyond which there is none of it, nor so near that it would be seen.
        nearby: Pixels a side of the neighbourhood, odd.

    Returns:
        By id, of the B intervals between these slices, in its box.
    """
    looks = {}
    for label, box in boxes.items():
        sums = _sums(box.cut(ids) == label, box.cut(shown), nearby)
        count, total, squares = (each[:-1] + each[1:] for each in sums)
        fraction = count.clamp(min=_FEWEST)
        mean = total / fraction
        variance = (squares / fraction - mean**2).clamp(min=0) + _NOISE**2
        looks[label] = Look(mean, variance, count > _FEWEST)
    return looks


def log_likelihoods(
    made: Tensor, looks: Mapping[int, Look], boxes: Mapping[int, Box]
) -> dict[int, Tensor]:
    """How well synthetic intensities suit each label nearby, Gaussian, mean over channels.

    Args:
        made: Synthetic slices in [0, 1], `(B, C, H, W)`.
        looks: Labels of the slices on both sides, each in its box.
        boxes: By id.

    Returns:
        Relative to the likeliest label, in [-4, 0], `(B, h, w)` of its box; a label that is not
        nearby is as unlikely as the least likely that is.
    """
    found = {label: _log_likelihood(boxes[label].cut(made), look) for label, look in looks.items()}
    there = {label: look.there[:, 0] for label, look in looks.items()}
    most, least = torch.full_like(made[:, 0], -torch.inf), torch.full_like(made[:, 0], torch.inf)
    for label, value in found.items():
        high, low = boxes[label].cut(most), boxes[label].cut(least)
        high.copy_(torch.where(there[label], torch.maximum(high, value), high))
        low.copy_(torch.where(there[label], torch.minimum(low, value), low))
    return {
        label: (
            torch.where(there[label], value, boxes[label].cut(least)) - boxes[label].cut(most)
        ).clamp(min=_LOWEST)
        for label, value in found.items()
    }


def _log_likelihood(made: Tensor, look: Look) -> Tensor:
    surprise = (made - look.mean) ** 2 / look.variance + look.variance.log()
    return -0.5 * surprise.mean(1)


def _sums(mask: Tensor, shown: Tensor, nearby: int) -> tuple[Tensor, Tensor, Tensor]:
    """Number of voxels, sum and sum of squares, all as shares of the neighbourhood."""
    inside = mask[:, None].float()
    values = torch.cat([inside, inside * shown, inside * shown**2], 1)
    channels = shown.shape[1]
    sums = mean_repeated(values, nearby)
    count, total, squares = torch.split(sums, [1, channels, channels], 1)
    return count, total, squares
