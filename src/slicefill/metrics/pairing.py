"""Which methods are compared by a metric: case by case, and by training where they share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from slicefill.metrics import find_metric

if TYPE_CHECKING:
    import pandas as pd


class Pair(NamedTuple):
    """A method and its reference.

    Attributes:
        method: Its name.
        reference: Its name.
        merits: Of both, a row per case that both have, a column per training. Where they share the
            network of every seed, their differences alone: its noise is in both.
    """

    method: str
    reference: str
    merits: list[pd.DataFrame]


def finite(values: pd.Series) -> pd.Series:
    """Turn what is infinite into nan: it could not be measured."""
    return values.astype(float).replace([np.inf, -np.inf], np.nan)


def list_networks(scores: pd.DataFrame) -> dict[str, pd.Series]:
    """Name the network of every seed, by method; nothing where scores do not say it."""
    if "network" not in scores:
        return {}
    methods = scores.groupby("method", sort=False)
    return {str(name): own.groupby("seed")["network"].first() for name, own in methods}


def find_pairs(
    scores: pd.DataFrame, metric: str, references: list[str], networks: Mapping[str, pd.Series]
) -> Iterator[Pair]:
    """Find what every method is compared with by a metric: the best reference.

    The best one has the largest mean of `Metric.merit` over subjects, of the cases that all
    references have, if there are any.

    Args:
        scores: One row per case and method, and seed if methods were trained.
        metric: A column of the scores.
        references: Methods; those that were not scored are passed over.
        networks: Of `list_networks`.

    Raises:
        ValueError: If no reference was scored.
    """
    import pandas as pd

    values = find_metric(metric).merit(finite(scores[metric]))
    oriented = scores.assign(merit=values, run=scores.get("seed", 0))
    by_case = oriented.pivot(index=["subject", "case"], columns=["method", "run"], values="merit")
    methods = [str(name) for name in scores["method"].unique()]
    present = [name for name in references if name in methods]
    if not present:
        msg = (
            f"none of the reference methods {references} was scored, only {methods}: "
            "run one of them or name one of these"
        )
        raise ValueError(msg)
    sides = {name: cast("pd.DataFrame", by_case[name]) for name in methods}
    merits = pd.DataFrame({name: sides[name].mean(axis=1) for name in present})
    of_all = merits.dropna(axis="columns", how="all").dropna()
    means = (merits if of_all.empty else of_all).groupby("subject").mean().mean()
    if means.isna().all():
        return
    best = str(means.idxmax())
    for method in methods:
        if method != best:
            shared = method in networks and _share(networks[method], networks[best])
            yield Pair(method, best, _tables(sides[method], sides[best], shared=shared))


def _share(own: pd.Series, other: pd.Series) -> bool:
    """Tell whether two methods have the same network wherever both have a training of a seed."""
    seeds = own.index.intersection(other.index)
    return len(seeds) > 0 and own[seeds].equals(other[seeds])


def _tables(own: pd.DataFrame, reference: pd.DataFrame, *, shared: bool) -> list[pd.DataFrame]:
    """Return merits of both where both have one, or their differences if trainings are shared."""
    both = own.notna().any(axis=1) & reference.notna().any(axis=1)
    tables = [own - reference] if shared else [own, reference]
    return [table[both].dropna(axis="columns", how="all") for table in tables]
