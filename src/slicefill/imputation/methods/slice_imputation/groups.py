"""Training groups: N + 2 consecutive slices, the outer two given, the N inner ones targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.model import Pair
from slicefill.imputation.methods.slice_imputation.views import THROUGH_PLANE, View, ViewCache
from slicefill.params import GroupParams
from slicefill.types import Array, Floats


@dataclass(frozen=True)
class Group:
    """Where a group is: slices start … start + inner + 1 of one view of one case."""

    case: str
    view: str
    start: int
    inner: int


@dataclass(frozen=True)
class Batch:
    """Groups of the same N.

    Attributes:
        slices: `(B, N + 2, C, h, w)`, intensities in [0, 1].
        shows_object: Y of the inner slices, `(B, N)`; nan where unknown.
        outer: Slices as far before the first and after the last as these are apart, or these
            themselves at the ends of a view, `(B, 2 C, h, w)`; None: not cut.
    """

    slices: Tensor
    shows_object: Tensor
    outer: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Move to a device."""
        outer = None if self.outer is None else self.outer.to(device)
        return Batch(self.slices.to(device), self.shows_object.to(device), outer)

    def take(self, chosen: slice) -> "Batch":
        """Some of the groups."""
        outer = None if self.outer is None else self.outer[chosen]
        return Batch(self.slices[chosen], self.shows_object[chosen], outer)

    @property
    def pair(self) -> Pair:
        """What a network sees: I_0, I_{N+1} and the slices beyond."""
        return Pair(self.first, self.last, self.outer)

    @property
    def first(self) -> Tensor:
        """I_0, `(B, C, h, w)`."""
        return self.slices[:, 0]

    @property
    def last(self) -> Tensor:
        """I_{N+1}, `(B, C, h, w)`."""
        return self.slices[:, -1]

    @property
    def inner(self) -> Tensor:
        """I_1 … I_N, `(B, N, C, h, w)`."""
        return self.slices[:, 1:-1]

    @property
    def positions(self) -> Tensor:
        """Positions t = n / (N + 1), n = 1 … N, `(N,)`."""
        steps = self.slices.shape[1] - 1
        return torch.arange(1, steps, device=self.slices.device) / steps


@dataclass(frozen=True)
class ViewSummary:
    """What drawing groups needs to know of a view without holding it."""

    occupied: Array
    factor: int


def summarise(cache: ViewCache, cases: Sequence[str]) -> dict[str, dict[str, ViewSummary]]:
    """Read every case once and note the length and the occupied slices of its views."""
    return {
        case: {name: ViewSummary(v.occupied, v.factor) for name, v in cache[case].items()}
        for case in cases
    }


def draw_groups(
    summaries: Mapping[str, Mapping[str, ViewSummary]],
    params: GroupParams,
    limit: int | None,
    rng: np.random.Generator,
) -> list[Group]:
    """Draw the groups of one epoch, in random order.

    Every possible start of every view is a candidate; N is drawn per group across slices and
    is interval - 1 in-plane. Groups that show only background are subsampled to `background_keep`.
    With a limit, the two kinds share it as their weights say.
    """
    through_plane: list[Group] = []
    in_plane: list[Group] = []
    for case, views in summaries.items():
        for name, view in views.items():
            kind = through_plane if name == THROUGH_PLANE else in_plane
            kind.extend(_candidates(case, name, view, params, rng))
    if limit is not None:
        fraction = params.through_plane / (params.through_plane + params.in_plane)
        through_plane = _choose(through_plane, round(limit * fraction), rng)
        in_plane = _choose(in_plane, limit - round(limit * fraction), rng)
    groups = through_plane + in_plane
    return [groups[i] for i in rng.permutation(len(groups))]


def _candidates(
    case: str, name: str, view: ViewSummary, params: GroupParams, rng: np.random.Generator
) -> Iterator[Group]:
    smallest, largest = params.inner
    length = len(view.occupied)
    for start in range(length):
        inner = view.factor - 1
        if name == THROUGH_PLANE:
            room = min(largest, length - start - 2)
            inner = _draw_inner(smallest, room, rng) if room >= smallest else length
        stop = start + inner + 2
        if stop > length:
            continue
        if view.occupied[start:stop].any() or rng.random() < params.background_keep:
            yield Group(case, name, start, inner)


def _draw_inner(smallest: int, largest: int, rng: np.random.Generator) -> int:
    """Draw N so that every N gives as many inner slices."""
    counts = np.arange(smallest, largest + 1)
    return int(rng.choice(counts, p=1 / counts / (1 / counts).sum()))


def _choose(groups: list[Group], count: int, rng: np.random.Generator) -> list[Group]:
    """Choose `count` groups without repetition; all of them when there are not as many."""
    return [groups[i] for i in rng.permutation(len(groups))[:count]]


def batch_groups(
    groups: Sequence[Group], batch: int, cases_held: int, rng: np.random.Generator
) -> list[list[Group]]:
    """Divide groups into batches of one N each.

    Cases are visited in blocks of `cases_held`, so that a bounded cache reads each case about
    once per epoch; within a block the order is random.
    """
    cases = sorted({group.case for group in groups})
    order = {cases[j]: rank // cases_held for rank, j in enumerate(rng.permutation(len(cases)))}
    blocks = sorted(groups, key=lambda group: (order[group.case], group.inner))
    batches = []
    for _, block in groupby(blocks, key=lambda group: order[group.case]):
        made: list[list[Group]] = []
        for _, same in groupby(block, key=lambda group: group.inner):
            members = list(same)
            made += [members[i : i + batch] for i in range(0, len(members), batch)]
        batches += [made[i] for i in rng.permutation(len(made))]
    return batches


def load_batch(
    groups: Sequence[Group], cache: ViewCache, params: GroupParams, rng: np.random.Generator
) -> Batch:
    """Cut, augment and stack the slices of a batch."""
    cut = [_cut(cache[group.case][group.view], group, params, rng) for group in groups]
    slices, shows = (torch.from_numpy(np.stack(part)) for part in zip(*cut, strict=True))
    return as_batch(slices, shows)


def as_batch(slices: Tensor, shows_object: Tensor) -> Batch:
    """Divide slices before, 0 … N + 1, after, `(B, N + 4, C, h, w)`, and the Y of all."""
    return Batch(slices[:, 1:-1], shows_object[:, 2:-2], slices[:, [0, -1]].flatten(1, 2))


def reach(group: Group, depth: int) -> list[int]:
    """Places in a view of `depth` slices: before, start … start + inner + 1, after.

    Before and after are as far from the group as its ends are apart; where the view does not
    reach so far, the ends themselves.

    Example:
        >>> reach(Group("a", "rows", 2, 1), 8), reach(Group("a", "rows", 1, 1), 4)
        ([0, 2, 3, 4, 6], [1, 1, 2, 3, 3])
    """
    first, last = group.start, group.start + group.inner + 1
    before, after = 2 * first - last, 2 * last - first
    middle = range(first, last + 1)
    return [before if before >= 0 else first, *middle, after if after < depth else last]


def _cut(
    view: View, group: Group, params: GroupParams, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Crop one group at random, flip and reverse it: `(N + 4, C, h, w)` and `(N + 4,)`."""
    places = reach(group, len(view.slices))
    slices, shows = view.slices[places], view.shows_object[places]
    for dim, size in ((2, params.crop[0]), (3, params.crop[1])):
        slices = _crop_or_pad(slices, dim, size, rng)
        if params.flip and rng.random() < 0.5:
            slices = np.flip(slices, dim)
    if params.reverse and rng.random() < 0.5:
        slices, shows = slices[::-1], shows[::-1]
    return np.ascontiguousarray(slices), np.ascontiguousarray(shows)


def _crop_or_pad(slices: Floats, dim: int, size: int, rng: np.random.Generator) -> Floats:
    spare = slices.shape[dim] - size
    if spare >= 0:
        start = int(rng.integers(0, spare + 1))
        return slices.take(range(start, start + size), axis=dim)
    pad = [(0, 0)] * slices.ndim
    pad[dim] = (-spare // 2, -spare - -spare // 2)
    return np.pad(slices, pad, mode="edge")
