"""What outlines, motion and intensities say about the labels of one slice between two."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from slicefill.imputation.areas import LabelAreas
from slicefill.imputation.distances import across_intervals, break_ties, signed_distances
from slicefill.imputation.optical_flow import warp_slice
from slicefill.params.propagation import PropagationParams
from slicefill.propagation.motion import ChainedMotion
from slicefill.propagation.patches import Side, log_odds, patch_votes
from slicefill.types import Array, Floats

_TINY = 1e-6  # of a weight: two slices without background


class Interval(NamedTuple):
    """Two annotated slices, by index, with the slices between them."""

    before: int
    after: int

    def position(self, index: int) -> float:
        """Where a slice lies, in (0, 1)."""
        return (index - self.before) / (self.after - self.before)

    def wander(self, index: int) -> float:
        """How far a random walk of unit steps, one a slice, strays between its two known ends.

        The standard deviation of a Brownian bridge.
        """
        t = self.position(index)
        return float(np.sqrt((self.after - self.before) * t * (1 - t)))


@dataclass(frozen=True, eq=False)
class AnnotatedScan:
    """A complete scan with some annotated slices.

    Attributes:
        image: In [0, 1], `(D, C, H, W)`.
        label: Ids, `(D, H, W)`; read at annotated slices alone.
        annotated: Their indices, rising.
        motion: From slice to slice.
    """

    image: Floats
    label: Array
    annotated: tuple[int, ...]
    motion: ChainedMotion

    @cached_property
    def areas(self) -> LabelAreas:
        """Area of every label on the annotated slices."""
        return LabelAreas.count(self.label[list(self.annotated)])


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence for each of K labels at one slice, in the box around them.

    Attributes:
        ids: The labels; the background is the first.
        box: Rows and columns.
        still: Signed distance to the outline, interpolated in place, `(K, h, w)`, pixels.
        moved: The same where both neighbours were moved along the motion first.
        alone: As `moved`, where one of the two annotated slices shows a label, of that one alone.
        likeness: Log-odds of the votes of like patches.
        areas: Pixels inside the box that each is expected to have, `(K,)`.
        there: Probability that each is there at all, `(K,)`: where one of the two annotated slices
            shows a label, its end is as likely anywhere between them.
    """

    ids: tuple[int, ...]
    box: tuple[slice, slice]
    still: Floats
    moved: Floats
    alone: Floats
    likeness: Floats
    areas: tuple[int, ...]
    there: tuple[float, ...]


def gather(
    scan: AnnotatedScan, interval: Interval, indices: list[int], params: PropagationParams
) -> dict[int, Evidence]:
    """Gather the evidence at some slices between two annotated ones.

    Args:
        scan: Of whose annotated slices the two are neighbours; any between them are not used.
        interval: The two.
        indices: Of the slices.
        params: Of the search for like patches, of the box, and of the ends of labels.

    Returns:
        By index; empty where neither of the two shows a label.
    """
    labels = scan.label[list(interval)]
    ids = tuple(np.unique([0, *np.unique(labels)]).tolist())
    if ids == (0,):
        return {}
    box = _box(labels, params.margin)
    pair = _Pair.of(labels[:, *box], ids)
    back = scan.motion.towards(interval.before, max(indices))
    forth = scan.motion.towards(interval.after, min(indices))
    positions = [interval.position(index) for index in indices]
    areas = _areas(scan, interval, positions, params)
    outside = labels[0].size - pair.masks[0, 0].size
    found = {}
    for number, index in enumerate(indices):
        flows = (np.ascontiguousarray(flow[index][:, *box]) for flow in (back, forth))
        own = [int(areas[label][number]) if label in areas else 0 for label in ids]
        own[0] = max(own[0] - outside, 0)
        place = _Place(index, interval, (next(flows), next(flows)), box)
        fields = pair.at(place), *pair.moved(place), _likeness(scan, pair, place, params)
        found[index] = Evidence(ids, box, *fields, tuple(own), pair.there(place.t))
    return found


@dataclass(frozen=True, eq=False)
class _Place:
    """A slice between two, and where its pixels lie in both."""

    index: int
    interval: Interval
    flows: tuple[Floats, Floats]
    box: tuple[slice, slice]

    @property
    def t(self) -> float:
        return self.interval.position(self.index)


class _Pair(NamedTuple):
    """Masks and distances of every label on two slices, `(2, K, h, w)`; which show it, `(2, K)`."""

    masks: Floats
    distances: tuple[Floats, Floats]
    shown: Array

    @classmethod
    def of(cls, labels: Array, ids: tuple[int, ...]) -> "_Pair":
        masks = np.stack([labels == label for label in ids], axis=1)
        fields = []
        for own in masks.swapaxes(0, 1):
            first, last = across_intervals(own, break_ties(signed_distances(own)))
            fields.append((first[0], last[0]))
        first, last = (np.stack(side) for side in zip(*fields, strict=True))
        return cls(masks.astype(np.float32), (first, last), np.asarray(masks.any(axis=(2, 3))))

    def there(self, t: float) -> tuple[float, ...]:
        """Probability that each label is there, if its end is as likely anywhere between."""
        return tuple(self._parts(t).sum(axis=0).tolist())

    def _parts(self, t: float) -> Floats:
        """Return the weights of both slices, 0 of one that does not show the label, `(2, K)`."""
        return np.where(self.shown, np.array([[1 - t], [t]], np.float32), np.float32(0))

    def at(self, place: _Place) -> Floats:
        """Distances interpolated in place."""
        first, last = self.distances
        return np.asarray((1 - place.t) * first + place.t * last, np.float32)

    def moved(self, place: _Place) -> tuple[Floats, Floats]:
        """Distances moved along the motion: interpolated, and those of the slices that show it."""
        sides = zip(self.distances, place.flows, strict=True)
        first, last = (warp_slice(field, flow) for field, flow in sides)
        both = (1 - place.t) * first + place.t * last
        parts = self._parts(place.t)[..., None, None]
        alone = (parts[0] * first + parts[1] * last) / np.maximum(parts.sum(axis=0), _TINY)
        return np.asarray(both, np.float32), np.asarray(alone, np.float32)


def _likeness(scan: AnnotatedScan, pair: _Pair, place: _Place, params: PropagationParams) -> Floats:
    """Log-odds of the votes of like patches in both annotated slices."""

    def patch(index: int) -> Floats:
        beside = np.arange(index - params.patch, index + params.patch + 1)
        slices = scan.image[np.clip(beside, 0, len(scan.image) - 1)]
        return slices[:, :, *place.box]

    def side(number: int, weight: float) -> Side:
        flow = place.flows[number]
        moved = [warp_slice(each, flow) for each in patch(place.interval[number])]
        return Side(np.stack(moved), warp_slice(pair.masks[number], flow), weight)

    sides = side(0, 1 - place.t), side(1, place.t)
    return log_odds(patch_votes(patch(place.index), sides, params))


def _areas(
    scan: AnnotatedScan, interval: Interval, positions: list[float], params: PropagationParams
) -> dict[int, Array]:
    """Pixels of every label at positions of an interval."""
    before, after = map(scan.annotated.index, interval)
    numbers = [*range(max(before - 1, 0), before + 1), *range(after, after + 2)]
    numbers = [number for number in numbers if number < len(scan.annotated)]
    known = [scan.annotated[number] for number in numbers]  # an area bends by one slice beyond
    counted = scan.areas.of(numbers)
    areas = counted.interpolate(positions, params.label_ends, known)
    row = numbers.index(before)
    return {label: pixels[row] for label, pixels in areas.items()}


def _box(labels: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns of all labels of some slices, with a margin."""
    shown = (labels != 0).any(axis=0)
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )
