"""What imputing scans would take: shapes, bytes, seconds; nothing is written."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from slicefill.batch.impute import Order, find_made, impute_scan, scan_fingerprint
from slicefill.batch.table import Row, read_table
from slicefill.batch.tasks import TABLE, Plan, Task
from slicefill.fingerprint import fingerprint
from slicefill.geometry import slices_back, slices_first, through_plane_axis
from slicefill.imputation.grids import refuse_too_much, wanted_grid
from slicefill.imputation.impute import Imputer
from slicefill.types import Case, Volume

_SLICES = 5  # so many are imputed to measure how long all take


def rehearse_scans(plan: Plan, order: Order, say: Callable[[str], None]) -> Mapping[str, Row]:
    """Say of every scan what would be done; the time is that of its middle slices, scaled.

    Returns:
        The rows; `imputed` means that it would be.
    """
    imputer = order.load(order.params)
    known = {} if plan.folder is None else read_table(plan.folder / TABLE)
    rows = {}
    for name, task in plan.tasks.items():
        rule = fingerprint(imputer.fingerprint, order.params.decisive)
        row, _ = find_made(task, scan_fingerprint(task, rule), known, overwrite=order.overwrite)
        rows[name] = row or _rehearse(task, imputer, order, say)
        if row is not None:
            say(f"{name}: {'there already' if row.status == 'kept' else row.reason}")
    return rows


def _rehearse(task: Task, imputer: Imputer, order: Order, say: Callable[[str], None]) -> Row:
    from slicefill.ingestion.checks import about
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.params.ingestion import own_scans

    row = Row(task.raw.id, "refused", *task.inputs)
    try:
        case = read_raw_case(task.raw, own_scans())
        with about(task.raw.id, task.raw.place):
            refuse_too_much(case, order.params)
        axis = through_plane_axis(case.image.affine, order.params.through_plane)
        few = Case(_middle(case.image, axis), case.label and _middle(case.label, axis))
        began = time.monotonic()
        _, row = impute_scan(few, imputer, order.params, row)
        seconds = time.monotonic() - began
    except Exception as error:  # as in a call that writes: the others go on
        row = replace(row, reason=str(error))
    if row.status != "imputed":
        say(f"{row.case}: {row.status}: {row.reason}")
        return row
    depth, dense = case.image.stored.shape[axis], wanted_grid(case.image, order.params).slices
    megabytes = case.image.stored.nbytes / depth * dense / 1e6
    scaled = seconds * (depth - 1) / max(row.slices_in - 1, 1)
    say(
        f"{row.case}: {row.spacing_in} → {row.spacing_out} mm, {depth} → {dense} slices, "
        f"{megabytes:.1f} MB before compression, about {scaled:.1f} s → {task.outputs['image']}"
    )
    return replace(row, slices_in=depth, slices_out=dense, seconds=scaled)


def _middle(volume: Volume, axis: int) -> Volume:
    """Return the middle slices of a volume, in the world of the whole."""
    slices = slices_first(volume.stored, axis)
    first = max(len(slices) - _SLICES, 0) // 2
    return volume.with_stored(slices_back(slices[first : first + _SLICES], axis))
