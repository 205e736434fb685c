"""A textured ball that moves and grows from slice to slice, in a textured surrounding."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.io.exchange import from_array
from slicefill.types import Array, Case

DEPTH, SIZE = 17, 64


def discs() -> Array:
    """Mark a disc whose centre goes from column 20 to 44 and comes back, `(D, H, W)`."""
    rows, columns = np.indices((SIZE, SIZE))
    found = []
    for index in range(DEPTH):
        centre = 20 + 24 * np.sin(np.pi * index / (DEPTH - 1)), 8 + index / 4
        found.append(np.hypot(rows - 32, columns - centre[0]) < centre[1])
    return np.stack(found)


@pytest.fixture(scope="session")
def ball() -> Callable[..., Case]:
    """Make the ball, slices along an axis; all slices labelled 3, or every n-th."""

    def make(every: int = 1, axis: int = 2) -> Case:
        rng = np.random.default_rng(0)
        disc = discs()
        texture = gaussian_filter(rng.normal(size=(SIZE, 4 * SIZE)), 2) * 600
        still = gaussian_filter(rng.normal(size=(SIZE, SIZE)), 2) * 200
        image = []
        for index, mask in enumerate(disc):
            centre = round(20 + 24 * np.sin(np.pi * index / (DEPTH - 1)))
            moved = texture[:, SIZE - centre : 2 * SIZE - centre]  # the texture moves with the disc
            image.append(np.where(mask, 500 + moved, 200 + still) + rng.normal(0, 5, mask.shape))
        label = np.where(disc, 3, 0).astype(np.int16)
        kept = np.zeros_like(label)
        kept[::every] = label[::every]
        arrays = (
            np.moveaxis(np.stack(image).astype(np.int16), 0, axis),
            np.moveaxis(kept, 0, axis),
        )
        return Case(*(from_array(np.ascontiguousarray(each), (1, 1, 1)) for each in arrays))

    return make
