"""Motion from slice to slice of a complete scan, chained over several slices."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from slicefill.imputation.optical_flow import Flow, dis_flow, warp_slice
from slicefill.types import Floats

SCALE_OF_SLICES: Flow = partial(dis_flow, finest=0)
"""Dense inverse search down to the scale of the slices: outlines need the details."""


class ChainedMotion:
    """Where the pixels of a slice lie in another one, by the motion found between neighbours.

    Args:
        seen: Slices in [0, 1], `(D, H, W)`.
        flow: Finds the motion between two of them.
    """

    def __init__(self, seen: Floats, flow: Flow = SCALE_OF_SLICES) -> None:
        self._seen = seen
        self._flow: Callable[[Floats, Floats], Floats] = flow
        self._steps: dict[tuple[int, int], NDArray[np.float16]] = {}

    def towards(self, target: int, last: int) -> dict[int, Floats]:
        """Chain the motion of every slice up to `last`, on either side, to a target slice.

        Returns:
            By index, from beside the target to `last`: where its pixels lie in the target,
            `(2, H, W)`, row and column, pixels.

        Example:
            What moves by a pixel from slice to slice has moved by three over three:

            >>> motion = ChainedMotion(np.zeros((4, 8, 8)), lambda one, two: np.ones((2, 8, 8)))
            >>> float(motion.towards(0, 3)[3].mean())
            3.0
        """
        way = 1 if last > target else -1
        found: dict[int, Floats] = {}
        chained = np.zeros((2, *self._seen.shape[1:]), np.float32)
        for index in range(target + way, last + way, way):
            step = self._step(index, index - way)
            chained = step + warp_slice(chained, step)
            found[index] = chained
        return found

    def _step(self, index: int, beside: int) -> Floats:
        key = index, beside
        if key not in self._steps:  # half precision: a scan of 400 slices has 800 of them
            found = self._flow(self._seen[index], self._seen[beside])
            self._steps[key] = found.astype(np.float16)
        return self._steps[key].astype(np.float32)
