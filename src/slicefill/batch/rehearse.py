"""What imputing scans would take: shapes, bytes, seconds; nothing is written."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from slicefill.batch.earlier import find_made
from slicefill.batch.impute import Order, impute_scan
from slicefill.batch.left_over import known_rows
from slicefill.batch.one_scan import (
    read_scan,
    rule_fingerprint,
    scan_fingerprint,
    wanted_fingerprint,
)
from slicefill.batch.outputs import check_outputs
from slicefill.batch.table import Row
from slicefill.batch.tasks import Plan, Task
from slicefill.geometry import slices_back, slices_first, through_plane_axis
from slicefill.imputation.dense_grid import channels_second
from slicefill.imputation.grids import wanted_grid
from slicefill.imputation.imputers import Imputer
from slicefill.imputation.padding import without_padding
from slicefill.types import Case, Volume

_SLICES = 5  # so many are imputed to measure how long all take


def rehearse_scans(plan: Plan, order: Order, say: Callable[[Row, str], None]) -> Mapping[str, Row]:
    """Say of every scan what would be done; the time is that of its middle slices, scaled.

    The time in which planes learn from a scan comes on top.

    Args:
        plan: Scans, and where their outputs would go.
        order: How they would be imputed.
        say: Called with the row and the text on every scan.

    Returns:
        The rows; `imputed` means that it would be.
    """
    imputer = replace(order.load(order.params), teach=None)  # it takes as long for a few slices
    known, rule = known_rows(plan), rule_fingerprint(imputer, order.params)
    rows = {}
    for name, task in plan.tasks.items():
        before = known.get(name)
        own = scan_fingerprint(task.raw, rule) if before else ""  # else nothing to compare
        own = wanted_fingerprint(own, before, fill_missing=order.fill_missing)
        row = find_made(task, own, before, overwrite=order.overwrite)
        rows[name] = row or _rehearse(task, imputer, order, say)
        if row is not None:
            say(row, f"{name}: {'there already' if row.status == 'kept' else row.reason}")
    return rows


def _rehearse(task: Task, imputer: Imputer, order: Order, say: Callable[[Row, str], None]) -> Row:
    from slicefill.ingestion.checks import ONE_SLICE, BadCase, OneSlice, printable

    row = Row(task.raw.id, "refused", *task.inputs)
    try:
        row, megabytes = _try(task, imputer, order, row)
    except OneSlice:
        row = replace(row, status="left aside", reason=ONE_SLICE)
    except BadCase as error:
        row = replace(row, reason=error.told)
    except Exception as error:  # as in a call that writes: the others go on
        row = replace(row, status="failed", reason=printable(f"{type(error).__name__}: {error}"))
    if row.status != "imputed":
        say(row, f"{row.case}: {row.status}: {row.reason}")
        return row
    say(
        row,
        f"{row.case}: {row.spacing_in} → {row.spacing_out} mm, {row.slices_in} → {row.slices_out} "
        f"slices, {megabytes:.1f} MB before compression, about {row.seconds:.1f} s → "
        f"{task.outputs['image']}",
    )
    return row


def _try(task: Task, imputer: Imputer, order: Order, row: Row) -> tuple[Row, float]:
    """Impute a few slices of a scan, and return the row and MB of the whole.

    All are imputed of a scan that lacks some, or whose middle is constant (between two knees).
    """
    case = read_scan(task.raw, order.params, fill_missing=order.fill_missing)
    check_outputs(task, case, order.params)
    axis = through_plane_axis(case.image.affine, order.params.through_plane)
    few, middle = case, _middle(case.image, axis)
    if not case.absent and _varies(middle, axis):
        few = Case(middle, case.label and _middle(case.label, axis))
    began = time.monotonic()
    made, row = impute_scan(few, imputer, order.params, row)
    seconds = time.monotonic() - began
    if made is None:
        return row, 0.0
    megabytes = made.image.stored.nbytes / row.slices_out / 1e6
    if few is not case:
        depth, dense = case.image.stored.shape[axis], wanted_grid(case.image, order.params).slices
        seconds *= (depth - 1) / max(row.slices_in - 1, 1)
        row = replace(row, slices_in=depth, slices_out=dense)
    return replace(row, seconds=seconds), row.slices_out * megabytes


def _varies(volume: Volume, axis: int) -> bool:
    """Whether a channel of a volume shows more than one intensity beside its padding."""
    image = without_padding(channels_second(volume, axis))[0]
    return bool((np.ptp(image, axis=(0, 2, 3)) > 0).any())


def _middle(volume: Volume, axis: int) -> Volume:
    """Return the middle slices of a volume, in the world of the whole."""
    slices = slices_first(volume.stored, axis)
    first = max(len(slices) - _SLICES, 0) // 2
    return volume.with_stored(slices_back(slices[first : first + _SLICES], axis))
