"""What a table says of scans whose outputs an earlier call made and this one does not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slicefill.batch.table import MADE, Row
from slicefill.batch.tasks import Plan

REMEDY = "name another output, or --overwrite"
"""How a refusal ends where the output of an earlier call stays, and its row with it."""


def table_row(row: Row, known: Mapping[str, Row]) -> Row:
    """Return what the table says of a scan.

    Args:
        row: What this call made of it.
        known: The rows of earlier calls, by case. What they made and this call did not, the row
            still names, with the fingerprint: if the scan comes back as it was, so does its output.
    """
    before = known.get(row.case)
    if row.status == "kept":
        return replace(row, status="imputed")
    if before is None or row.status in MADE:
        return row
    if row.reason.endswith(REMEDY):
        return before
    # What failed may have been written in part.
    own = "" if row.status == "failed" else before.fingerprint
    return replace(row, output=before.output, fingerprint=own)


def rows_beside(plan: Plan, known: Mapping[str, Row]) -> dict[str, Row]:
    """Return rows of scans that no task imputes: refused where they were found, or not found.

    Args:
        plan: Of this call.
        known: The rows of earlier calls, by case.
    """
    rows = {
        case: table_row(Row(case, "refused", reason=reason), known)
        for case, reason in plan.refused.items()
    }
    for case, row in known.items():
        if case not in plan.tasks and case not in rows and row.output and _belongs(row, plan):
            reason = f"the last call did not find {row.input}"
            rows[case] = replace(row, status="left over", reason=reason)
    return rows


def _belongs(row: Row, plan: Plan) -> bool:
    """Whether this call looked where the scan of a row lay."""
    if plan.of_source_alone:
        return True
    source = plan.source
    if source is None or not source.is_dir():
        return False
    return Path(row.input).resolve().is_relative_to(source.resolve())
