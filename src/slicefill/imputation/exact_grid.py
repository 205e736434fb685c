"""Imputation onto slices of exactly the distance that is asked for, wherever they fall."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_back, slices_first, step_map, through_plane_axis
from slicefill.imputation.grids import exact_places
from slicefill.imputation.orientation import Turn
from slicefill.imputation.trace import mean_abstained
from slicefill.ingestion.checks import BadCase
from slicefill.params import ImputationParams
from slicefill.types import Array, Case, Method, Stack, SyntheticSlices, Volume

_CONTEXT = 3  # acquired slices beyond an interval that a method sees
_DIGITS = 6  # of positions: a millionth of an interval
_COARSE = 2.0  # slices so many intervals apart would leave out what was acquired between them


Placing = Callable[[Method], Method]
"""Makes of a method that imputes evenly spaced slices one that imputes them elsewhere."""


def impute_exactly(
    case: Case,
    impute: Callable[[Case, ImputationParams, Placing], Case],
    params: ImputationParams,
) -> Case:
    """Impute a case onto slices `target_spacing` apart, from its first acquired slice on.

    Every interval is imputed at the positions at which slices of the grid fall into it. The method
    sees three acquired slices beyond them, or the whole stack where all intervals have the same
    positions. An acquired slice that falls on the grid, within 0.001 of an interval, stays
    bit-identical; the others are not part of the result.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        impute: Imputes a case, so many slices in every interval, by its method as it is placed.
        params: With `target_spacing`.

    Returns:
        As `impute_case`; its record says `exact`, has no `count`, and says of every slice whether
        it is `acquired`, or at which `t` it lies `between` two of them.

    Raises:
        BadCase: If the slices asked for are two intervals apart or more.
    """
    axis = through_plane_axis(case.image.affine, params.through_plane)
    spacing, target = float(case.image.spacing[axis]), float(params.target_spacing or 0)
    refuse_coarse(spacing, target)
    places = exact_places(case.image.stored.shape[axis], target / spacing)
    made = impute_at(case, impute, params, places=places, spacing=target)
    return replace(made, record={**made.record, "exact": True, "count": None})


def refuse_coarse(spacing: float, target: float) -> None:
    """Refuse slices so far apart that acquired ones between them would be left out.

    Args:
        spacing: Of the acquired slices, mm.
        target: Of the slices wanted, mm.

    Raises:
        BadCase: If the slices wanted are two intervals apart or more.
    """
    if target >= _COARSE * spacing:
        raise BadCase(
            expected=f"an exact spacing below {_COARSE * spacing:.4g} mm, twice that of the slices",
            found=f"{target:g} mm",
            remedy="average slices before, or ask for a smaller spacing",
        )


def impute_at(
    case: Case,
    impute: Callable[[Case, ImputationParams, Placing], Case],
    params: ImputationParams,
    *,
    places: NDArray[np.float64],
    spacing: float,
) -> Case:
    """Impute a case onto slices wherever they lie between its own.

    Args:
        case: As for `impute_exactly`.
        impute: As for `impute_exactly`.
        params: The grid that they ask for is that of `places`.
        places: Of the slices wanted, in intervals from the first acquired slice; whole numbers are
            acquired slices.
        spacing: Of the slices wanted, mm, where that of the case is the one its header says.

    Returns:
        As `impute_exactly`; its record says neither `exact` nor a right `count`.
    """
    axis = through_plane_axis(case.image.affine, params.through_plane)
    grid = _Places(places, case.image.stored.shape[axis])
    flipped = Turn.of(case.image.affine, axis).flips[0]
    placing = partial(_AtPlaces, positions=grid.positions, flipped=flipped)
    made = impute(case, params.counted(grid.most), placing)
    asked = {name: getattr(params, name) for name in ("exact", "target_spacing", "count")}
    picked = _pick(made, case, grid, axis, spacing)
    parameters = {**made.record["parameters"], **asked}
    return replace(picked, record={**picked.record, "parameters": parameters})


@dataclass(frozen=True)
class _Places:
    """Slices of an exact grid.

    Attributes:
        places: Of each, in intervals from the first acquired slice; whole numbers are acquired.
        depth: Acquired slices.
    """

    places: NDArray[np.float64]
    depth: int

    @property
    def positions(self) -> list[list[float]]:
        """T of the synthetic slices of every interval, in (0, 1)."""
        between: list[list[float]] = [[] for _ in range(self.depth - 1)]
        for place in self.places[self.places % 1 != 0]:
            between[int(place)].append(round(float(place % 1), _DIGITS))
        return between

    @property
    def most(self) -> int:
        """Synthetic slices of the fullest interval."""
        return max(map(len, self.positions))

    def slots(self) -> list[int]:
        """Index of every slice where each interval has as many as the fullest."""
        step, indices = self.most + 1, []
        for place in self.places:
            interval = int(place)
            before = self.places[(self.places > interval) & (self.places < place)]
            indices.append(interval * step + (len(before) + 1) * (place % 1 != 0))
        return [int(index) for index in indices]


@dataclass(frozen=True)
class _AtPlaces:
    """A method that imputes every interval at positions of its own.

    Attributes:
        method: Imputes all intervals of a stack at the same positions.
        positions: Of every interval of the stack, in the order of the file.
        flipped: Whether the stack is in the opposite order.
    """

    method: Method
    positions: list[list[float]]
    flipped: bool

    def __call__(
        self, stack: Stack, positions: Sequence[float], rng: np.random.Generator
    ) -> SyntheticSlices:
        """Impute; intervals with fewer positions than others hold zeros behind them."""
        if len(stack.image) != len(self.positions) + 1 or len(positions) != self._most:
            return self.method(stack, positions, rng)  # asked about another stack than the case
        parts = [self._part(stack, *run, rng) for run in self._runs()]
        if not parts:  # every slice of the grid is an acquired one
            return self.method(stack, [], rng)
        return _join(parts, (len(self.positions), self._most), self.flipped)

    @property
    def _most(self) -> int:
        return max(map(len, self.positions))

    @property
    def _turned(self) -> list[list[float]]:
        if not self.flipped:
            return self.positions
        return [[round(1 - t, _DIGITS) for t in reversed(own)] for own in reversed(self.positions)]

    def _runs(self) -> Iterator[tuple[int, int]]:
        """First interval, and that behind the last, of those in a row with equal positions."""
        numbered = enumerate([round(t, _DIGITS) for t in own] for own in self._turned)
        for own, run in groupby(numbered, key=lambda each: each[1]):
            intervals = [number for number, _ in run]
            if own:
                yield intervals[0], intervals[-1] + 1

    def _part(self, stack: Stack, first: int, last: int, rng: np.random.Generator) -> "_Part":
        """Impute the intervals from `first` to before `last`, which have the same positions."""
        begin, end = max(first - _CONTEXT, 0), min(last + 1 + _CONTEXT, len(stack.image))
        label = None if stack.label is None else stack.label[begin:end]
        seen = replace(stack, image=stack.image[begin:end], label=label)
        return _Part(slice(first, last), self.method(seen, self._turned[first], rng), begin)


class _Part(NamedTuple):
    """Intervals imputed by one call; `begin` is the first that the method saw."""

    intervals: slice
    made: SyntheticSlices
    begin: int

    def own(self, values: Array, further: int = 0) -> Array:
        """Return what belongs to these intervals, or to their slices with `further=1`."""
        first, last = self.intervals.start - self.begin, self.intervals.stop - self.begin
        return values[first : last + further]


def _join(parts: Sequence[_Part], shape: tuple[int, int], flipped: bool) -> SyntheticSlices:
    """Put the intervals of several calls together, `(D - 1, most, ...)`."""

    def laid_out(get: Callable[[SyntheticSlices], Array]) -> Array:
        example = get(parts[0].made)
        array = np.zeros((*shape, *example.shape[2:]), example.dtype)
        for part in parts:
            values = part.own(get(part.made))
            # Unused slots lie behind the others, in the order of the file.
            used = slice(shape[1] - values.shape[1], None) if flipped else slice(values.shape[1])
            array[part.intervals, used] = values
        return array

    model = parts[0].made
    names = ("image", "confidence", "label", "error", "abstained", "spread")
    there = [name for name in names if getattr(model, name) is not None]
    whole: dict[str, Any] = {name: laid_out(attrgetter(name)) for name in there}
    for name in ("samples", "sample_labels"):
        several = range(min(len(getattr(part.made, name)) for part in parts))
        whole[name] = [laid_out(partial(_one_of, name, number)) for number in several]
    return replace(model, **whole, acquired=_join_acquired(parts, shape[0] + 1))


def _one_of(name: str, number: int, made: SyntheticSlices) -> Array:
    one: Array = getattr(made, name)[number]
    return one


def _join_acquired(parts: Sequence[_Part], depth: int) -> Array | None:
    """Put together the acquired slices as a method changed them, `(D, C, H, W)`."""
    example = parts[0].made.acquired
    if example is None:
        return None
    acquired = np.zeros((depth, *example.shape[1:]), example.dtype)
    for part in parts:
        if part.made.acquired is not None:
            slices = slice(part.intervals.start, part.intervals.stop + 1)
            acquired[slices] = part.own(part.made.acquired, further=1)
    return acquired


def _pick(made: Case, case: Case, grid: _Places, axis: int, target: float) -> Case:
    """Keep the slices of the exact grid, and say in the record which they are."""
    slots = grid.slots()
    index_map = step_map(axis, target / float(case.image.spacing[axis]))

    def picked(source: Volume, volume: Volume) -> Volume:
        stored = np.ascontiguousarray(slices_first(volume.stored, axis)[slots])
        same = volume.slope_intercept == source.slope_intercept
        scale = None if same else volume.slope_intercept
        return source.with_stored(slices_back(stored, axis), index_map, scale)

    label = None
    if made.label is not None and case.label is not None:
        label = picked(case.label, made.label)
    maps = {name: picked(case.image, volume) for name, volume in made.maps.items()}
    slices = [
        _place({**made.record["slices"][slot], "index": index}, float(place))
        for index, (slot, place) in enumerate(zip(slots, grid.places, strict=True))
    ]
    record = {**made.record, "slice_spacing_mm": target}
    record |= {"slices": slices, "abstained": mean_abstained(slices)}
    return Case(picked(case.image, made.image), label, maps, record)


def _place(entry: dict[str, Any], place: float) -> Mapping[str, Any]:
    return entry if "acquired" in entry else {**entry, "t": round(place % 1, _DIGITS)}
