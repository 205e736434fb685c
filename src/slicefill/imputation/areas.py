"""Areas of labels on synthetic slices: what keeps their volume.

Distances to an outline, interpolated between a larger and a smaller one, shrink what lies between.
So the area of every label is interpolated, too, and the score of a label is raised or lowered until
it holds where it should.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from slicefill.params.imputation import EndParams
from slicefill.types import Array, Floats

_HALF_WAY = 0.5


@dataclass(frozen=True, eq=False)
class LabelAreas:
    """Area of every label on every slice of a stack.

    Attributes:
        ids: K of them, ascending; 0 is the background.
        shown: `(K, D)`, pixels.
        pixels: Of a slice.
    """

    ids: tuple[int, ...]
    shown: Floats
    pixels: int

    @classmethod
    def count(cls, label: Array) -> Self:
        """Count the pixels of every id of a stack, `(D, H, W)`."""
        ids = np.unique(label)
        shown = [np.count_nonzero(label == i, axis=(1, 2)) for i in ids]
        return cls(tuple(ids.tolist()), np.array(shown, dtype=np.float64), label[0].size)

    def of(self, indices: Sequence[int]) -> Self:
        """Return the areas on some of the slices."""
        return replace(self, shown=self.shown[:, list(indices)])

    def interpolate(
        self, positions: Sequence[float], ends: EndParams, at: Sequence[int] | Array | None = None
    ) -> dict[int, NDArray[np.int_]]:
        """Estimate how many pixels each id has on every synthetic slice.

        The area of all labels together is interpolated, and that of each; where the latter do not
        add up to the former (one label takes the place of another), each is changed in proportion
        to its area on the two neighbours. The background has the rest.

        Args:
            positions: N values of t in (0, 1), the same in every interval.
            ends: Where an object ends that one of the neighbours does not show.
            at: Where the slices lie, D rising numbers; None: evenly spaced.

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
        labels = self.shown[np.array(self.ids) != 0]
        together, apart = np.split(
            interpolate_areas(np.vstack([labels.sum(axis=0), labels]), t, ends, at), [1]
        )
        filled = np.minimum(together[0], self.pixels)
        linear = _line(labels[:, :-1, None], labels[:, 1:, None], t)
        share = linear / np.maximum(linear.sum(axis=0), 1)
        shared = apart + (filled - apart.sum(axis=0)) * share
        areas = iter(np.rint(np.clip(shared, 0, self.pixels)))  # rising, it may rise too far
        rest = self.pixels - np.rint(filled)
        return {i: (next(areas) if i else rest).astype(int) for i in self.ids}


def interpolate_areas(
    areas: Floats, positions: Array, ends: EndParams, at: Sequence[int] | Array | None = None
) -> Floats:
    """Interpolate areas of labels across every interval of a stack.

    Where both neighbours show the label: the cubic through four slices (Catmull-Rom; a line
    beyond the ends of the stack), never below 0. Where one does, the area falls linearly to 0: a
    label that shrank over the interval before goes on losing as much, and ends at `ends.latest` at
    the latest; one that has hardly shrunk (`ends.cut_off`), or that no slice before shows, is cut
    off and ends half-way.

    Args:
        areas: On every slice, `(..., D)`.
        positions: N values of t in (0, 1).
        ends: How ends are estimated.
        at: Where the slices lie, D rising numbers; None: evenly spaced. An area changes from one
            interval to the next as much per unit, however wide they are.

    Returns:
        `(..., D - 1, N)`, at least 0.

    Example:
        What lost 12 of 18 pixels and has 6 ends half-way, what lost 6 and has 6 at the latest:

        >>> t, ends = np.array([0.25, 0.5]), EndParams(cut_off=0.8, latest=0.75)
        >>> interpolate_areas(np.array([18.0, 6, 0]), t, ends)[1].tolist()
        [3.0, 0.0]
        >>> interpolate_areas(np.array([12.0, 6, 0]), t, ends)[1].tolist()
        [4.0, 2.0]
    """
    first, last = areas[..., :-1, None], areas[..., 1:, None]
    behind, ahead = np.full((2, *first.shape), np.nan)
    behind[..., 1:, :], ahead[..., :-1, :] = first[..., :-1, :], last[..., 1:, :]
    width = np.diff(np.arange(areas.shape[-1]) if at is None else np.asarray(at, float))[:, None]
    before, after = (np.roll(width, step, axis=0) / width for step in (1, -1))  # unused at the ends
    bent = _as_even(behind, first, last, before), _as_even(ahead, last, first, after)
    made = _cubic(bent[0], first, last, bent[1], positions)
    behind, ahead = first + (behind - first) / before, last + (ahead - last) / after
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
    return np.asarray(scores - np.partition(scores, rank, axis=None)[rank])


def _line(first: Floats, last: Floats, t: Array) -> Floats:
    return np.asarray((1 - t) * first + t * last)


def _as_even(outer: Floats, near: Floats, far: Floats, ratio: Floats) -> Floats:
    """Value beyond `near` that gives an even cubic the slope at `near` of an uneven one.

    Args:
        outer: Value beyond `near`, in `ratio` times the distance of `near` and `far`.
        near: Value where the slope is taken.
        far: Value on the other side of the interval.
        ratio: Of the distances; 1 leaves `outer` as it is.
    """
    slope = ((near - outer) / ratio + (far - near) * ratio) / (1 + ratio)
    return np.asarray(far - 2 * slope)


def _cubic(before: Floats, first: Floats, last: Floats, after: Floats, t: Array) -> Floats:
    """Catmull-Rom; a slice that does not exist (nan) continues the line through the two."""
    before = np.where(np.isnan(before), 2 * first - last, before)
    after = np.where(np.isnan(after), 2 * last - first, after)
    bent = _line(before - 2 * first + last, first - 2 * last + after, t)
    return np.asarray(np.maximum(_line(first, last, t) - 0.5 * t * (1 - t) * bent, 0))


def _remaining(before: Floats, last: Floats, t: Array, ends: EndParams) -> Floats:
    """Fraction of an object's area that is left at t after the last slice that shows it."""
    tapers = (before > 0) & (last < ends.cut_off * before)
    end = np.where(tapers, last / np.maximum(before - last, 1), _HALF_WAY)
    return np.asarray(np.maximum(1 - t / np.clip(end, 1e-9, ends.latest), 0))
