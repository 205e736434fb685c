"""Areas of labels on synthetic slices: what keeps their volume.

Distances to an outline, interpolated between a larger and a smaller one, shrink what lies between.
So the area of every label is interpolated, too, and the score of a label is raised or lowered until
it holds where it should.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from slicefill.params.imputation import EndParams
from slicefill.types import Array, Floats

_HALF_WAY = 0.5


@dataclass(frozen=True)
class LabelAreas:
    """Area of every label on every slice of a stack.

    Attributes:
        shown: By id, ascending, `(D,)`, pixels; 0 is the background.
        pixels: Of a slice.
    """

    shown: Mapping[int, Floats]
    pixels: int

    @classmethod
    def count(cls, label: Array) -> Self:
        """Count the pixels of every id of a stack, `(D, H, W)`."""
        ids = np.unique(label).tolist()
        shown = {i: np.count_nonzero(label == i, axis=(1, 2)).astype(np.float64) for i in ids}
        return cls(shown, label[0].size)

    def interpolate(
        self, positions: Sequence[float], ends: EndParams
    ) -> dict[int, NDArray[np.int_]]:
        """Estimate how many pixels each id has on every synthetic slice.

        The area of all labels together is interpolated, and that of each; where the latter do not
        add up to the former (one label takes the place of another), each is changed in proportion
        to its area on the two neighbours. The background has the rest.

        Args:
            positions: N values of t in (0, 1), the same in every interval.
            ends: Where an object ends that one of the neighbours does not show.

        Returns:
            By id, `(D - 1, N)`, pixels: 0 where neither neighbour shows the id.

        Example:
            Half-way between 2 and 4 pixels of label 1:

            >>> label = np.array([[[0, 1, 1, 0, 0]], [[1, 1, 1, 1, 0]]])
            >>> areas = LabelAreas.count(label).interpolate([0.5], EndParams())
            >>> {identity: area.item() for identity, area in areas.items()}
            {0: 2, 1: 3}
        """
        t = np.asarray(positions, dtype=np.float64)
        labels = {i: area for i, area in self.shown.items() if i}
        together = _sum(labels, len(next(iter(self.shown.values()))))
        filled = np.minimum(interpolate_areas(together, t, ends), self.pixels)
        apart = {i: interpolate_areas(area, t, ends) for i, area in labels.items()}
        areas = {0: self.pixels - filled, **_add_up(apart, filled, labels, t)}
        return {i: np.rint(np.maximum(areas[i], 0)).astype(int) for i in self.shown}


def interpolate_areas(areas: Floats, positions: Array, ends: EndParams) -> Floats:
    """Interpolate the area of one label across every interval of a stack.

    Where both neighbours show the label: the cubic through four slices (Catmull-Rom; a line
    beyond the ends of the stack), never below 0. Where one does, the area falls linearly to 0: a
    label that shrank over the interval before goes on losing as much, and ends at `ends.latest` at
    the latest; one that has hardly shrunk (`ends.cut_off`), or that no slice before shows, is cut
    off and ends half-way.

    Args:
        areas: On every slice, `(D,)`.
        positions: N values of t in (0, 1).
        ends: How ends are estimated.

    Returns:
        `(D - 1, N)`, at least 0.

    Example:
        What lost 12 of 18 pixels and has 6 ends half-way, what lost 6 and has 6 at the latest:

        >>> t, ends = np.array([0.25, 0.5]), EndParams(cut_off=0.8, latest=0.75)
        >>> interpolate_areas(np.array([18.0, 6, 0]), t, ends)[1].tolist()
        [3.0, 0.0]
        >>> interpolate_areas(np.array([12.0, 6, 0]), t, ends)[1].tolist()
        [4.0, 2.0]
    """
    first, last = areas[:-1, None], areas[1:, None]
    ahead, behind = np.full((2, len(areas) - 1, 1), np.nan)
    behind[1:], ahead[:-1] = areas[:-2, None], areas[2:, None]
    made = _cubic(behind, first, last, ahead, positions)
    made = np.where(last == 0, first * _remaining(behind, first, positions, ends), made)
    return np.where(first == 0, last * _remaining(ahead, last, 1 - positions, ends), made)


def raise_to_area(scores: Floats, area: int) -> Floats:
    """Shift scores so that those of `area` pixels are at least 0; -inf everywhere for none.

    Args:
        scores: Of one label on a slice, `(H, W)`; the highest are where it most likely is.
        area: Pixels, at most H · W.
    """
    if area <= 0:
        return np.full_like(scores, -np.inf)
    rank = scores.size - area
    shifted: Floats = scores - np.partition(scores, rank, axis=None)[rank]
    return shifted


def _add_up(
    areas: Mapping[int, Array], filled: Array, shown: Mapping[int, Array], t: Array
) -> dict[int, Array]:
    """Let the areas of all labels add up to what they fill together, `(D - 1, N)` each."""
    linear = {i: (1 - t) * area[:-1, None] + t * area[1:, None] for i, area in shown.items()}
    missing, total = filled - _sum(areas, filled.shape), np.maximum(_sum(linear, filled.shape), 1)
    return {i: area + missing * linear[i] / total for i, area in areas.items()}


def _sum(areas: Mapping[int, Array], shape: int | tuple[int, ...]) -> Array:
    return sum(areas.values(), np.zeros(shape))


def _cubic(before: Floats, first: Floats, last: Floats, after: Floats, t: Array) -> Floats:
    """Catmull-Rom; a slice that does not exist (nan) continues the line through the two."""
    before = np.where(np.isnan(before), 2 * first - last, before)
    after = np.where(np.isnan(after), 2 * last - first, after)
    bent = (1 - t) * (before - 2 * first + last) + t * (first - 2 * last + after)
    line = (1 - t) * first + t * last
    return np.asarray(np.maximum(line - 0.5 * t * (1 - t) * bent, 0))


def _remaining(before: Floats, last: Floats, t: Array, ends: EndParams) -> Floats:
    """Fraction of an object's area that is left at t after the last slice that shows it."""
    tapers = (before > 0) & (last < ends.cut_off * before)
    end = np.where(tapers, last / np.maximum(before - last, 1), _HALF_WAY)
    return np.asarray(np.maximum(1 - t / np.clip(end, 1e-9, ends.latest), 0))
