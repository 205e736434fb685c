"""What planes beside a picture might show: the picture, moved.

A plane of a scan shows what those beside it show, moved by as much as surfaces are oblique, and
noise of its own. A photograph has no such planes: they are made.
"""

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.optical_flow import warp_slice

_COARSE = (3, 4)  # places of a picture between which its motion changes evenly
_VARIED = 0.5  # of the motion changes from place to place, the rest is that of the whole picture


def planes_beside(picture: Tensor, beside: int, motion: float, rng: np.random.Generator) -> Tensor:
    """Make the planes on either side of a picture: it moves the same way from plane to plane.

    Args:
        picture: `(h, w)`; mirrored beyond its edges.
        beside: Planes on either side.
        motion: Largest standard deviation of how far it moves per plane, pixels; that of a picture
            is drawn evenly.
        rng: Draws the motion.

    Returns:
        `(2 beside + 1, h, w)`; the middle one is the picture.
    """
    import cv2

    far, (height, width) = rng.uniform(0, motion), picture.shape
    drawn = rng.standard_normal((2, *_COARSE)) * _VARIED + rng.standard_normal((2, 1, 1))
    columns, rows = (cv2.resize(far * each, (width, height)) for each in drawn)
    flow, made = np.stack([rows, columns]), [picture] * (2 * beside + 1)
    for number in (n for n in range(-beside, beside + 1) if n):
        (plane,) = warp_slice(picture.numpy()[None], number * flow, lanczos=True)
        made[number + beside] = torch.from_numpy(plane)
    return torch.stack(made)
