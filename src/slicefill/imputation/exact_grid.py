"""Imputation onto slices of exactly the distance that is asked for, wherever they fall."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import through_plane_axis
from slicefill.imputation.dense_grid import DenseGrid
from slicefill.imputation.grids import exact_places
from slicefill.imputation.orientation import Turn
from slicefill.ingestion.checks import BadCase
from slicefill.params import ImputationParams
from slicefill.types import Array, Case, Floats, Method, Stack, SyntheticSlices

_CONTEXT = 3  # acquired slices beyond an interval that a method sees
_DIGITS = 6  # of positions: a millionth of an interval
_COARSE = 2.0  # slices so many intervals apart would leave out what was acquired between them


Placing = Callable[[Method], Method]
"""Makes of a method that imputes evenly spaced slices one that imputes them elsewhere."""
Impute = Callable[[Case, ImputationParams, DenseGrid, Placing], Case]
"""Imputes the slices of a grid by a method as it is placed."""


def impute_exactly(case: Case, impute: Impute, params: ImputationParams) -> Case:
    """Impute a case onto slices `target_spacing` apart, from its first acquired slice on.

    Every interval is imputed at the positions at which slices of the grid fall into it. The method
    sees three acquired slices beyond them, or the whole stack where all intervals have the same
    positions. An acquired slice that falls on the grid, within 0.001 of an interval, stays
    bit-identical; the others are not part of the result.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        impute: Imputes a case onto a grid, by its method as it is placed.
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
    impute: Impute,
    params: ImputationParams,
    *,
    places: NDArray[np.float64],
    spacing: float,
    at: Sequence[int] | None = None,
) -> Case:
    """Impute a case onto slices wherever they lie between its own.

    Args:
        case: As for `impute_exactly`.
        impute: As for `impute_exactly`.
        params: The grid that they ask for is that of `places`.
        places: Of the slices wanted, in intervals from the first acquired slice; whole numbers are
            acquired slices.
        spacing: Of the slices wanted, mm, where that of the case is the one its header says.
        at: Where its own slices lie, in steps of the spacing in its header; None: in each step one.

    Returns:
        As `impute_exactly`; its record says neither `exact` nor a right `count`.
    """
    axis = through_plane_axis(case.image.affine, params.through_plane)
    where = [(int(place), round(float(place % 1), _DIGITS)) for place in places]
    grid = DenseGrid(case.image, axis, float(case.image.spacing[axis]) / spacing, where, at)
    between: list[list[float]] = [[] for _ in range(case.image.stored.shape[axis] - 1)]
    for interval, t in where:
        if t:
            between[interval].append(t)
    flipped = Turn.of(case.image.affine, axis).flips[0]
    made = impute(case, params, grid, partial(_AtPlaces, positions=between, flipped=flipped))
    return replace(made, record={**made.record, "slice_spacing_mm": spacing})


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
        """Impute; the result says how many slices every interval has."""
        asked = sorted({*chain.from_iterable(self.positions)})
        if len(stack.image) != len(self.positions) + 1 or list(positions) != asked:
            return self.method(stack, positions, rng)  # asked about another stack than the case
        runs = [*self._runs()]
        if not runs:  # every slice of the grid is an acquired one
            return self.method(stack, [], rng)
        parts = [self._part(stack, *run, rng) for run in runs]
        joined = _combine(np.concatenate, parts)
        counts = np.array([*map(len, self._turned)])
        return replace(joined, acquired=_acquired(stack.image, runs, parts), counts=counts)

    @property
    def _turned(self) -> list[list[float]]:
        if not self.flipped:
            return self.positions
        return [[round(1 - t, _DIGITS) for t in reversed(own)] for own in reversed(self.positions)]

    def _runs(self) -> Iterator[tuple[int, int]]:
        """First interval, and that behind the last, of those in a row with equal positions."""
        for own, run in groupby(enumerate(self._turned), key=lambda each: each[1]):
            intervals = [number for number, _ in run]
            if own:
                yield intervals[0], intervals[-1] + 1

    def _part(
        self, stack: Stack, first: int, last: int, rng: np.random.Generator
    ) -> SyntheticSlices:
        """Impute the intervals from `first` to before `last`, which have the same positions.

        Nothing but their own slices is kept, one after the other, `(M, 1, ...)`.
        """
        begin, end = max(first - _CONTEXT, 0), min(last + 1 + _CONTEXT, len(stack.image))
        made = self.method(stack.part(slice(begin, end)), self._turned[first], rng)
        first, last = first - begin, last - begin

        def own(values: Sequence[Array]) -> Array:
            (each,) = values
            return each[first:last].copy().reshape(-1, 1, *each.shape[2:])

        acquired = None if made.acquired is None else made.acquired[first : last + 1].copy()
        return replace(_combine(own, [made]), acquired=acquired)


def _combine(
    combined: Callable[[Sequence[Array]], Array], parts: Sequence[SyntheticSlices]
) -> SyntheticSlices:
    """Make one of several, array by array; samples that only some of them have are left out."""
    names = ("image", "confidence", "label", "error", "abstained", "spread")
    there = [name for name in names if getattr(parts[0], name) is not None]
    whole: dict[str, Any] = {n: combined([getattr(part, n) for part in parts]) for n in there}
    for name in ("samples", "sample_labels"):
        several = zip(*(getattr(part, name) for part in parts), strict=False)
        whole[name] = [combined(each) for each in several]
    return replace(parts[0], **whole)


def _acquired(
    image: Floats, runs: Sequence[tuple[int, int]], parts: Sequence[SyntheticSlices]
) -> Floats | None:
    """Put together the acquired slices as a method changed them; others stay as they are."""
    if parts[0].acquired is None:
        return None
    acquired = image.copy()
    for (first, last), part in zip(runs, parts, strict=True):
        if part.acquired is not None:
            acquired[first : last + 1] = part.acquired
    return acquired
