"""What a table says of scans whose outputs an earlier call made and this one does not."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slicefill.batch.table import MADE, Row, read_table
from slicefill.batch.tasks import HIDDEN, REMEDY, TABLE, Plan, Task, real
from slicefill.io.storage import remove_unfinished


def known_rows(plan: Plan) -> dict[str, Row]:
    """Return what earlier calls made of the scans of a plan, by case.

    In a folder the table says so; of a single file, the record beside it, if one was written.
    """
    if plan.folder is not None:
        return read_table(plan.folder / TABLE)
    rows = {name: _recorded(name, task) for name, task in plan.tasks.items()}
    return {name: row for name, row in rows.items() if row is not None}


def _recorded(name: str, task: Task) -> Row | None:
    try:
        record = json.loads(task.record.read_bytes())
        own, files = record["fingerprint"], "/".join(record["files"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    output = task.outputs["image"].name
    return Row(name, "imputed", *task.inputs, output=output, fingerprint=own, files=files)


def remove_unfinished_outputs(plan: Plan) -> int:
    """Remove what calls that were killed left half written where a plan writes; how many files."""
    if plan.folder is not None:
        return sum(map(remove_unfinished, [plan.folder, plan.folder / HIDDEN]))
    outputs = [path for task in plan.tasks.values() for path in task.outputs.values()]
    return sum(remove_unfinished(path.parent, path.name) for path in outputs)


def table_row(row: Row, known: Mapping[str, Row]) -> Row:
    """Return what the table says of a scan.

    Args:
        row: What this call made of it.
        known: The rows of earlier calls, by case. What they made and this call did not, the row
            still names, with the fingerprint: if the scan comes back as it was, so does its output.
            A scan that failed has a fingerprint of its own.
    """
    before = known.get(row.case)
    if row.status == "kept":
        return replace(row, status="imputed")
    if before is None or row.status in MADE:
        return row
    if row.reason.endswith(REMEDY):
        return before
    own = row.fingerprint if row.status == "failed" else before.fingerprint
    files = row.files or before.files
    return replace(row, output=before.output, fingerprint=own, files=files)


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
    return real(Path(row.input)).is_relative_to(real(source))
