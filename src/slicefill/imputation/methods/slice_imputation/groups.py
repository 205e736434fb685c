"""Training groups: N + 2 consecutive slices, the outer two given, the N inner ones targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch

from slicefill.imputation.methods.slice_imputation.params import GroupParams, SynthesisParams
from slicefill.imputation.methods.slice_imputation.synthesis import GroupBatch, as_batch
from slicefill.imputation.methods.slice_imputation.views import THROUGH_PLANE, View, ViewCache
from slicefill.types import Array, Floats


@dataclass(frozen=True)
class Group:
    """Where a group is: slices start … start + inner + 1 of one view of one case."""

    case: str
    view: str
    start: int
    inner: int


@dataclass(frozen=True)
class ViewSummary:
    """Properties of a view from which groups are drawn without holding the view in memory.

    Attributes:
        occupied: Whether each slice shows more than background, `(S,)`, bool.
        factor: As in `View`.
    """

    occupied: Array
    factor: int


def summarise_views(cache: ViewCache, cases: Sequence[str]) -> dict[str, dict[str, ViewSummary]]:
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

    Every possible start of every view is a candidate; N is drawn per group across slices, or N_A of
    the case, and is factor - 1 in-plane. Groups that show only background are subsampled to
    `background_keep`. With a limit, the two kinds share it as their weights say.
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
    length, fixed = len(view.occupied), view.factor - 1
    drawn = params.inner if name == THROUGH_PLANE and params.inner != "N_A" else None
    for start in range(length if drawn or fixed else 0):
        inner = fixed
        if drawn:
            smallest, largest = drawn
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
) -> GroupBatch:
    """Cut, augment and stack the slices of a batch."""
    views = [cache[group.case][group.view] for group in groups]
    pairs = zip(views, groups, strict=True)
    cut = [_cut(view, group, params, rng) for view, group in pairs]
    slices, shows = (torch.from_numpy(np.stack(part)) for part in zip(*cut, strict=True))
    across = [
        v.factor if g.view == THROUGH_PLANE else 1 for v, g in zip(views, groups, strict=True)
    ]
    steps = torch.tensor(across)
    if views[0].high is None:
        return replace(as_batch(slices, shows), steps=steps)
    shown, high = slices.chunk(2, dim=2)
    sigma = torch.tensor([view.sigma for view in views])
    return replace(as_batch(shown, shows), high=high[:, 2:-2], sigma=sigma, steps=steps)


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
    """Crop one group at random, flip and reverse it: `(N + 4, C, h, w)` and `(N + 4,)`.

    Where the view has high frequencies, they are further channels.
    """
    places = reach(group, len(view.slices))
    slices, shows = view.slices[places], view.shows_object[places]
    if view.high is not None:
        slices = np.concatenate([slices, view.high[places]], axis=1)
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


def require_groups(count: int, what: str, params: SynthesisParams) -> None:
    """Refuse a set of cases from which no group can be drawn.

    Args:
        count: Number of groups, or of cases with groups.
        what: The set, for the message: training or validation.
        params: Which groups are drawn.

    Raises:
        ValueError: If the count is 0; says what is needed.
    """
    if count == 0:
        inner = params.groups.inner
        least = "N_A + 2" if inner == "N_A" else inner[0] + 2
        msg = (
            f"no {what} group: synthesis.groups.inner {inner} needs cases of at "
            f"least {least} slices that show more than background; lower "
            "inner, use in_plane groups, or look at the cases and their split"
        )
        raise ValueError(msg)
