"""Nodes of the audit: measure the labels of removed slices, draw, report."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from slicefill import tracking
from slicefill.params import LabelAuditParams, as_plain
from slicefill.types import Promise

logger = logging.getLogger(__name__)
_KEYS = ["source", "name", "strength", "label"]


def audit_synthetic_labels(
    imputed_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: LabelAuditParams,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compare synthetic and damaged labels of removed slices of test cases with the true ones.

    Returns:
        `case`, `subject` and the rows of `metrics.label_audit.audit_case`; their means over
        subjects, with `n`; and the cases that failed: `case`, `reason`.
    """
    from slicefill.execution.serial import Failure, attempt
    from slicefill.metrics.label_audit import audit_case
    from slicefill.reporting.audit_tables import summarise_audit

    subjects = dict(splits.query("split == 'test'")[["case", "subject"]].to_numpy().tolist())
    tested = [case for case in cases if case in subjects]
    others = _exchanged(tested, cases, params)
    rows: list[dict[str, Any]] = []
    failed: list[tuple[str, str]] = []
    for case in tested:
        own = _methods(imputed_cases, case)
        found = attempt(partial(audit_case, own, cases[case], others[case], params, case))
        if isinstance(found, Failure):
            logger.error("%s is not audited: %s", case, found.reason)
            failed.append((case, found.reason))
            continue
        rows += [{"case": case, "subject": subjects[case], **row} for row in found]
    table = pd.DataFrame(rows, columns=None if rows else ["case", "subject", *_KEYS])
    summary = summarise_audit(table)
    _track(summary)
    return table, summary, pd.DataFrame(failed, columns=["case", "reason"])


def draw_audit(summary: pd.DataFrame) -> dict[str, Any]:
    """Overlap against bias, and where the surface moved; none where there is nothing to draw."""
    from slicefill.reporting.figures import audit_plot

    return {} if summary.empty else {"label_audit": audit_plot(summary)}


def write_audit(
    summary: pd.DataFrame, figures: Mapping[str, bytes], parameters: dict[str, Any]
) -> str:
    """Put table and figure into one HTML file."""
    from slicefill.reporting.audit_tables import compose_audit
    from slicefill.reporting.report import render_report

    return render_report(compose_audit(summary, figures, as_plain(parameters)))


def _methods(imputed_cases: Mapping[str, Promise], case: str) -> dict[str, Promise]:
    return {
        name.rpartition("/")[0]: promise
        for name, promise in imputed_cases.items()
        if name.rpartition("/")[2] == case
    }


def _exchanged(
    tested: Sequence[str], cases: Mapping[str, Promise], params: LabelAuditParams
) -> dict[str, dict[float, Promise]]:
    """Say, by case and strength, whose labels it gets."""
    from slicefill.simulation.label_noise import EXCHANGE, exchange

    found: dict[str, dict[float, Promise]] = {case: {} for case in tested}
    for strength in params.damages.get(EXCHANGE, []):
        whose = exchange(tested, min(1.0, strength), np.random.default_rng(params.seed))
        for case, other in whose.items():
            found[case][strength] = cases[other]
    return found


def _track(summary: pd.DataFrame) -> None:
    """Send the means of methods over all labels to MLflow."""
    own = summary.query("source == 'method' and label == 'mean'")
    for row in own.to_dict("records"):
        name = row["name"]
        known = {k: row[k] for k in ("dice", "volume_bias", "error_balance", "signed_distance")}
        tracking.log_metrics({f"audit/{k}/{name}": v for k, v in known.items() if not np.isnan(v)})
