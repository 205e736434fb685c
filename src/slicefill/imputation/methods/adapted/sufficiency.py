"""Whether enough is held out to tell if adaptation pays, and what would do where it is not."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from slicefill.imputation.methods.adapted.holding_out import Divided, held_out_block
from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.slice_imputation.groups import summarise_views
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training_set import validation_groups
from slicefill.imputation.methods.slice_imputation.views import THROUGH_PLANE, ViewCache, kind_of

_FRACTIONS = (0.3, 0.4, 0.5)  # of what is held out, tried one after the other
_LARGEST_P = 0.05  # no larger one is proposed
Counts = Mapping[str, int]
"""Held-out groups by kind: `in_plane`, `through_plane`."""
Count = Callable[[AdaptationParams], Counts]
"""Counts what would be held out of the scans under some parameters."""


def least_groups(largest_p: float) -> int:
    """Return how many held-out groups a kind needs so that its p can be small enough.

    If all of n groups are better, p of the one-sided signed-rank test is 2⁻ⁿ, the least there is.

    Example:
        >>> least_groups(0.01), least_groups(0.05)
        (7, 5)
    """
    return math.ceil(-math.log2(largest_p))


def too_few(counts: Counts, largest_p: float) -> dict[str, int]:
    """Return the kinds whose groups cannot decide, however much is gained, with their number.

    Example:
        >>> too_few({"in_plane": 45, "through_plane": 6}, 0.01)
        {'through_plane': 6}
    """
    needed = least_groups(largest_p)
    return {kind: count for kind, count in counts.items() if count < needed}


def count_held_out(divided: Divided, synthesis: SynthesisParams) -> dict[str, int]:
    """Count the held-out groups that the gain is measured on; reads the held-out parts.

    Returns:
        Their number by kind; where nothing is held out, none across slices.
    """
    cache = ViewCache(divided.held_out, synthesis.through_plane, synthesis)
    summaries = summarise_views(cache, sorted(divided.held_out))
    kinds = {kind_of(view): 0 for views in summaries.values() for view in views}
    scored = Counter(kind_of(group.view) for group in validation_groups(summaries, synthesis))
    return (kinds or {THROUGH_PLANE: 0}) | scored


def may_decide(depth: int, *, scans: int, subjects: int, params: AdaptationParams) -> bool:
    """Estimate from sizes alone whether scans could decide, if all are as deep as one of them.

    Args:
        depth: Acquired slices of that scan.
        scans: How many there are.
        subjects: Of how many subjects.
        params: What is held out, and the largest p.
    """
    block = held_out_block(depth, params.held_out) if subjects < params.subjects else None
    groups = 0
    if block is not None:
        groups = scans * (block.stop - block.start - 2)
    elif subjects > 1:
        count = min(max(1, round(params.held_out * subjects)), subjects - 1)
        groups = round(scans * count / subjects) * max(0, depth - 2)
    return groups >= least_groups(params.largest_p)


def list_remedies(count: Count, params: AdaptationParams) -> list[str]:
    """List values of the parameters with which enough is held out; each was tried.

    Args:
        count: Of the scans.
        params: Those with which too few are held out.

    Returns:
        At most two, as `--params` takes them: more held-out groups, and a less strict p. Nothing
        where only more scans, or longer ones, would do.
    """
    remedies = []
    for tried in _more_held_out(params):
        counts = count(tried)
        if counts and not too_few(counts, params.largest_p):
            remedies.append(_difference(params, tried))
            break
    p = math.ceil(100 * 2.0 ** -min(count(params).values(), default=0)) / 100
    return [*remedies, f"adaptation.largest_p={p:g}"] if p <= _LARGEST_P else remedies


def _more_held_out(params: AdaptationParams) -> Iterator[AdaptationParams]:
    """Propose parameters that hold more out, the smallest change first."""
    shares = [params.groups.through_plane, params.groups.in_plane]
    least_share = min(share for share in shares if share > 0) / sum(shares)
    scored = math.ceil(least_groups(params.largest_p) / least_share)
    if scored > params.optimisation.validation_groups:
        params = params.scoring(scored)
        yield params
    for fraction in _FRACTIONS:
        if fraction > params.held_out:
            yield params.model_copy(update={"held_out": fraction})


def _difference(params: AdaptationParams, tried: AdaptationParams) -> str:
    """Write what differs, as `--params` takes it."""
    changes = {
        "held_out": (params.held_out, tried.held_out),
        "optimisation.validation_groups": (
            params.optimisation.validation_groups,
            tried.optimisation.validation_groups,
        ),
    }
    return ",".join(
        f"adaptation.{name}={new:g}" for name, (old, new) in changes.items() if new != old
    )
