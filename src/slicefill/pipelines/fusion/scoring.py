"""Nodes that score fused cases, lay the scores out in tables, and draw them."""

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import product
from typing import Any

import pandas as pd

from slicefill import tracking
from slicefill.fingerprint import code_fingerprint, fingerprint
from slicefill.params.fused_views import FusedViewsParams
from slicefill.types import Finding, Lazy, Promise


def score_groups(
    fused_cases: dict[str, Promise],
    cases: dict[str, Promise],
    view_groups: pd.DataFrame,
    params: FusedViewsParams,
) -> dict[str, Lazy[Finding]]:
    """Promise the scores of every fused case whose views are simulated, as `method/group`."""
    if params.simulate is None:
        return {}
    known = set(view_groups["group"])
    code = [code_fingerprint(f"slicefill.{each}") for each in ("metrics", "views")]
    scored = {}
    for name, promise in fused_cases.items():
        method, _, group = name.rpartition("/")
        if method in params.methods and group in known and group in cases:
            truth = cases[group]
            own = fingerprint(promise.fingerprint, truth.fingerprint, params.label_names, code)
            scored[name] = Lazy(partial(_score, promise, truth, params.label_names), own)
    return scored


def _score(fused: Promise, truth: Promise, names: dict[int, str]) -> Finding:
    from slicefill.views.scoring import score_fused

    made = fused.make()
    told = made.record["fusion"]
    return Finding({
        "scores": score_fused(made, truth.make(), names),
        "views": told["views"],
        "left_out": told["left_out"],
    })  # fmt: skip


def tabulate_fusion(
    scored_fusions: dict[str, Lazy[Finding]],
    registrations: dict[str, Lazy[Finding]],
    view_groups: pd.DataFrame,
    params: FusedViewsParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str]:
    """Lay out scores and registrations of this run; what lies there of earlier ones is left out.

    Returns:
        A row per way and group of views; a row per registered view; mean, spread and interval of
        every score of every way; the table to read.
    """
    from slicefill.reporting.fusion_tables import (
        fusion_markdown,
        registration_table,
        score_table,
        summarise_fusion,
    )

    subjects = dict(zip(view_groups["group"], view_groups["subject"], strict=True))
    used = {params.registered_by(each) for each in params.methods.values() if each.views != 1}
    scores = score_table(_asked_for(scored_fusions, params.methods, subjects), subjects)
    errors = registration_table(_asked_for(registrations, used, subjects), subjects)
    summary = summarise_fusion(scores, params)
    means = summary[summary["metric"].str.endswith("_mean")].dropna(subset="mean")
    names = "fusion/" + means["metric"] + "/" + means["method"]
    tracking.log_metrics(dict(zip(names, means["mean"], strict=True)))
    return scores, errors, summary, fusion_markdown(summary, errors, params)


def _asked_for(
    found: Mapping[str, Lazy[Finding]], ways: Iterable[str], groups: Iterable[str]
) -> dict[str, Finding]:
    """Read what was found by some ways of some groups, as `way/group`."""
    asked = {f"{way}/{group}" for way, group in product(ways, groups)}
    return {name: lazy.make() for name, lazy in found.items() if name in asked}


def draw_fusion(
    fused_cases: dict[str, Promise],
    cases: dict[str, Promise],
    view_groups: pd.DataFrame,
    fusion_scores: pd.DataFrame,
    params: FusedViewsParams,
) -> dict[str, Any]:
    """Draw the spread of the scores, and the first groups in full."""
    from slicefill.reporting.fusion_figures import draw_group, draw_scores

    drawn: dict[str, Any] = draw_scores(fusion_scores, params)
    for group in list(dict.fromkeys(view_groups["group"]))[: params.figure_cases]:
        fused = {
            method.title: fused_cases[f"{name}/{group}"].make()
            for name, method in params.methods.items()
            if f"{name}/{group}" in fused_cases
        }
        truth = cases[group].make() if params.simulate and group in cases else None
        if fused:
            drawn[f"fused_{group}"] = draw_group(fused, truth, params.label_names)
    return drawn
