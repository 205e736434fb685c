"""Motion from slice to slice of a complete scan, chained over several slices."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slicefill.imputation.optical_flow import Flow, dis_flow, warp_slice
from slicefill.metrics.overlap import dice
from slicefill.params.propagation import PropagationParams
from slicefill.types import Array, Floats

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


def choose_motion(
    image: Floats, label: Array, annotated: Sequence[int], params: PropagationParams
) -> tuple[int, ChainedMotion]:
    """Find motion on the channel whose motion carries annotated labels best onto the next slice.

    Another channel than the first must gain `least_gain` over it: less is chance.

    Args:
        image: In [0, 1], `(D, C, H, W)`.
        label: Ids, `(D, H, W)`; read at annotated slices alone.
        annotated: Their indices, rising, two or more; not all of them neighbours.
        params: How many intervals are looked at (`held_out`), and the gain.

    Returns:
        The channel, counted from 0, and the motion on it.
    """
    first = ChainedMotion(image[:, 0])
    if image.shape[1] == 1:
        return 0, first
    wide = [pair for pair in pairwise(annotated) if pair[1] - pair[0] > 1]
    numbers = np.linspace(0, len(wide) - 1, min(params.held_out, len(wide)))
    pairs = [wide[round(number)] for number in numbers]
    chosen, wanted = (0, first), _carried(label, pairs, first) + params.least_gain
    for channel in range(1, image.shape[1]):
        motion = ChainedMotion(image[:, channel])
        if (score := _carried(label, pairs, motion)) >= wanted:
            chosen, wanted = (channel, motion), np.nextafter(score, np.inf)
    return chosen


def _carried(label: Array, pairs: Sequence[tuple[int, int]], motion: ChainedMotion) -> float:
    """Dice of labels moved to the next annotated slice, mean over labels and intervals; 0: none."""
    found = []
    for before, after in pairs:
        both = [each for each in np.intersect1d(label[before], label[after]) if each]
        if not both:
            continue
        flow = motion.towards(before, after)[after]
        for identity in both:
            mask = (label[before] == identity).astype(np.float32)
            moved = warp_slice(mask[None], flow)[0] > 0.5
            found.append(dice(moved, label[after] == identity))
    return float(np.mean(found)) if found else 0.0
