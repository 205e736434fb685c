"""What planes beside a picture might show: the picture, moved.

A plane of a scan shows what those beside it show, moved by as much as surfaces are oblique, and
noise of its own. A photograph, or a slice whose rows are known, has no such planes: they are made.
"""

import numpy as np
import torch
from torch import Tensor

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
    moved = [cv2.resize(far * each, (width, height)) for each in drawn]
    still = np.meshgrid(np.arange(width), np.arange(height))
    own, made = picture.numpy(), [picture] * (2 * beside + 1)
    for number in (n for n in range(-beside, beside + 1) if n):
        columns, rows = (
            (at + number * by).astype(np.float32) for at, by in zip(still, moved, strict=True)
        )
        kind, border = cv2.INTER_LANCZOS4, cv2.BORDER_REFLECT_101
        plane = cv2.remap(own, columns, rows, kind, borderMode=border)
        made[number + beside] = torch.from_numpy(plane)
    return torch.stack(made)
