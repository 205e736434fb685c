"""Tables of the fusion of views: scores per way and group, and how well views were registered."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from slicefill.metrics import measured
from slicefill.metrics.statistics import summarise_scores
from slicefill.params.fused_views import FusedViewsParams
from slicefill.reporting.tables import summary_table
from slicefill.types import Finding

_SHOWN = ("dice_mean", "rms_mean", "assd_mean", "missed_mean", "excess_mean")
_SCORED = ["method", "case", "subject", "views", "left_out"]
_REGISTERED = ["registration", "case", "subject", "view", "error_mm", "similarity", "overlap",
               "reason"]  # fmt: skip
_HEADS = ["registration", "views", "mean, mm", "median", "largest", "lowest similarity", "failed"]


def score_table(found: Mapping[str, Finding], subjects: Mapping[str, str]) -> pd.DataFrame:
    """Lay scores out, a row per `method/group`, with the numbers of views fused and left out."""
    rows = []
    for name, finding in found.items():
        method, _, group = name.rpartition("/")
        told = finding.record
        views = {"views": len(told["views"]), "left_out": len(told["left_out"])}
        who = {"method": method, "case": group, "subject": subjects[group]}
        rows.append({**who, **views, **told["scores"]})
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=_SCORED)


def registration_table(found: Mapping[str, Finding], subjects: Mapping[str, str]) -> pd.DataFrame:
    """Lay registrations out, a row per view, with its error where the truth is known, mm."""
    rows: list[dict[str, Any]] = []
    for name, finding in found.items():
        kind, _, group = name.rpartition("/")
        who = {"registration": kind, "case": group, "subject": subjects[group]}
        told = finding.record
        for view, each in told["alignments"].items():
            numbers = {key: each[key] for key in ("similarity", "overlap")}
            error = told["errors_mm"].get(view)
            rows.append({**who, "view": view, "error_mm": error, **numbers})
        rows += [{**who, "view": view, "reason": why} for view, why in told["left_out"].items()]
    return pd.DataFrame(rows, columns=_REGISTERED)


def summarise_fusion(scores: pd.DataFrame, params: FusedViewsParams) -> pd.DataFrame:
    """Mean, spread and interval of every score of every way, over subjects; in their order."""
    order = [name for name in params.methods if name in set(scores["method"])]
    known = scores[["method", "case", "subject", *measured(scores.columns)]]
    parts = [known[known["method"] == name] for name in order]
    return summarise_scores(pd.concat(parts) if parts else known, params)


def fusion_markdown(summary: pd.DataFrame, errors: pd.DataFrame, params: FusedViewsParams) -> str:
    """Return the tables to read: the ways, then the registrations."""
    parts = []
    shown = [metric for metric in _SHOWN if metric in set(summary["metric"])]
    if shown:
        table = summary_table(summary, shown, "")
        titles = [params.methods[name].title for name in summary["method"].unique()]
        parts += [table.frame.assign(method=titles).to_markdown(index=False), table.note]
    told = [_told_registration(str(kind), own) for kind, own in errors.groupby("registration")]
    if told:
        parts.append(pd.DataFrame(told, columns=_HEADS).to_markdown(index=False))
    return "\n\n".join(filter(None, parts)) + "\n"


def _told_registration(kind: str, own: pd.DataFrame) -> list[Any]:
    error = own["error_mm"].astype(float)
    numbers = [error.mean(), error.median(), error.max(), own["similarity"].min()]
    return [kind, len(own), *[f"{number:.2f}" for number in numbers], own["reason"].notna().sum()]
