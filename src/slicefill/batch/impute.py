"""Imputes the scans of a plan, one after the other or in several processes."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.batch.earlier import all_files, find_made, find_ours, find_stale
from slicefill.batch.left_over import known_rows, rows_beside, table_row
from slicefill.batch.one_scan import (
    filled_fingerprint,
    impute_named,
    read_scan,
    rule_fingerprint,
    scan_fingerprint,
    wanted_fingerprint,
)
from slicefill.batch.outputs import check_outputs, write_outputs, written_outputs
from slicefill.batch.table import Row, append_row, read_table, tell_spacing
from slicefill.batch.tasks import REMEDY, TABLE, Plan, Task
from slicefill.execution.each import prepared, run_each
from slicefill.execution.serial import MakeThenWrite
from slicefill.ingestion.checks import printable
from slicefill.params import ExecutorParams, ImputationParams
from slicefill.types import Case, Lazy

if TYPE_CHECKING:
    from slicefill.imputation.imputers import Imputer

Report = Callable[[Row], None]


@dataclass(frozen=True)
class Order:
    """How scans are imputed.

    Attributes:
        load: Prepares the method; picklable.
        params: Slices per interval, axis, device.
        overwrite: Whether outputs that were made otherwise are replaced.
        fill_missing: Whether slices that a DICOM series lacks are imputed; else it is refused.
    """

    load: "Callable[[ImputationParams], Imputer]"
    params: ImputationParams
    overwrite: bool = False
    fill_missing: bool = False


@dataclass(frozen=True)
class _Made:
    """What is written of a scan.

    Attributes:
        task: Where to.
        case: The imputed case; None where nothing is written.
        row: What became of it.
        stale: Outputs of an earlier call with other parameters that this one does not write.
        ours: Outputs that an earlier call wrote with the same parameters, and that stay.
        replaces: Whether an output takes the place of a file that is none of these.
    """

    task: Task
    case: Case | None
    row: Row
    stale: Sequence[Path] = ()
    ours: Sequence[Path] = ()
    replaces: bool = False


def impute_scans(
    plan: Plan, order: Order, executor: ExecutorParams, report: Report
) -> dict[str, Row]:
    """Impute every scan of a plan and write its outputs; one that fails does not stop the others.

    What an earlier call made, with the same scan, method and parameters, is left as it is. Outputs
    that were made otherwise are replaced only if the order says so.

    Args:
        plan: Scans, and where their outputs go. The folder of outputs gets a table,
            `slicefill.csv`.
        order: How.
        executor: Whether one after the other or in several processes.
        report: Called with the row of every scan as soon as it is known, then with those of scans
            that an earlier call imputed into the folder and this one did not find.

    Returns:
        The rows, in the order of the plan.

    Raises:
        ValueError: If the method cannot be prepared.
    """
    own = order.load(order.params)  # what cannot be prepared is refused now, not scan by scan
    imputer = Lazy(partial(order.load, order.params), rule_fingerprint(own, order.params))
    table = None if plan.folder is None else plan.folder / TABLE
    known = known_rows(plan)
    work = MakeThenWrite(partial(_make, imputer, order, known, plan.folder), partial(_write, table))
    rows: dict[str, Row] = {}

    def note(name: str, outcome: Any) -> None:
        task = plan.tasks[name]
        row = outcome if isinstance(outcome, Row) else _failed(task, outcome, table)
        entry = table_row(row, known)
        there = row.status == "kept" or row.reason.endswith(REMEDY)
        rows[name] = row if there else entry
        if table is not None and entry != known.get(name) and not row.reason.endswith(REMEDY):
            append_row(table, entry)
        report(rows[name])

    run_each(work, plan.tasks, executor, "impute", note=note)
    if table is not None:
        _note_others(plan, table, known, report)
    return {name: rows[name] for name in plan.tasks}


def _note_others(plan: Plan, table: Path, known: Mapping[str, Row], report: Report) -> None:
    """Note in the table what became of scans that were refused at once or not found any more."""
    for row in rows_beside(plan, known).values():
        if row != known.get(row.case):
            append_row(table, row)
        if row.status == "left over":
            report(row)


def _make(
    imputer: "Lazy[Imputer]",
    order: Order,
    known: Mapping[str, Row],
    folder: Path | None,
    name: str,
    task: Task,
) -> _Made:
    """Read and impute a scan; or say why there is nothing to write."""
    from slicefill.ingestion.checks import ONE_SLICE, BadCase, OneSlice

    began, before = time.monotonic(), known.get(name)
    row = Row(name, "failed", *task.inputs)
    try:
        own = scan_fingerprint(task.raw, imputer.fingerprint)
        settled = _settle(task, order, own, before)
        if settled is not None and settled.status == "refused":
            # A worker of this call may have begun, and was lost.
            before = known_rows(Plan({name: task}, folder)).get(name)
            settled = _settle(task, order, own, before)
        if settled is not None and settled.status == "kept":
            return _Made(task, None, settled)
        # a damaged scan is refused for that
        case = read_scan(task.raw, order.params, fill_missing=order.fill_missing)
        if settled is not None:
            return _Made(task, None, settled)
        check_outputs(task, case, order.params)
        own = filled_fingerprint(own) if case.absent else own
        read = replace(row, fingerprint=own, output=task.outputs["image"].name)
        made, told = impute_scan(case, prepared(imputer), order.params, read)
    except OneSlice:
        return _Made(task, None, replace(row, status="left aside", reason=ONE_SLICE))
    except BadCase as error:
        return _Made(task, None, replace(row, status="refused", reason=error.told))
    told = replace(told, seconds=time.monotonic() - began)
    return _Made(task, None, told) if made is None else _to_write(made, task, told, before)


def _settle(task: Task, order: Order, own: str, before: Row | None) -> Row | None:
    """Return the row of a scan of which nothing is to be made (`find_made`)."""
    own = wanted_fingerprint(own, before, fill_missing=order.fill_missing)
    return find_made(task, own, before, overwrite=order.overwrite)


def _to_write(case: Case, task: Task, row: Row, before: Row | None) -> _Made:
    """Say which files are written of an imputed scan, and which of an earlier call go."""
    written = written_outputs(case, task)
    if "seg" in task.outputs and "seg" not in written:
        row = row.with_reason("no DICOM SEG is written: the label map has no labels")
    own, paths = row.fingerprint, written.values()
    row = replace(row, files=all_files(task, own, before, paths))
    stale, ours = find_stale(task, own, before, paths), find_ours(task, own, before)
    replaces = any(path.exists() and path not in ours for path in paths)
    return _Made(task, case, row, stale, ours, replaces)


def impute_scan(
    case: Case, imputer: "Imputer", params: ImputationParams, row: Row
) -> tuple[Case | None, Row]:
    """Impute one case; None where there is nothing to impute."""
    from slicefill.geometry import through_plane_axis
    from slicefill.imputation.grids import across_series, why_dense

    across = across_series(case) if case.absent else params.through_plane
    axis = through_plane_axis(case.image.affine, across)
    described = replace(
        row,
        method=imputer.name,
        spacing_in=tell_spacing(case.image.spacing),
        slices_in=case.image.stored.shape[axis] - len(case.absent),
    )
    if not case.absent and (reason := why_dense(case.image, params)):
        return None, replace(described, status="dense already", output="", reason=reason)
    made = impute_named(row.case, case, imputer, params)
    believed = [each["confidence"] for each in made.record["slices"] if "confidence" in each]
    means = [each for each in believed if each is not None]
    return made, replace(
        described,
        status="imputed",
        spacing_out=tell_spacing(made.image.spacing),
        slices_out=made.image.stored.shape[axis],
        confidence=f"{np.mean(means):.3f}" if means else "",
        reason="; ".join(_to_mind(case, made)),
    )


def _to_mind(case: Case, made: Case) -> Iterator[str]:
    """Say what is odd about an imputed scan."""
    from slicefill.imputation.orthogonal import (
        SHEARED,
        is_refused_by_itk,
        sheared_despite_gaps,
    )

    if is_refused_by_itk(made.image):
        yield sheared_despite_gaps(case) if case.absent else SHEARED
    if case.absent:
        depth = case.image.stored.shape[case.ACROSS]
        listed = ", ".join(map(str, case.absent))
        yield f"of {depth} slices, {len(case.absent)} are absent and imputed (from 0: {listed})"
    if "spread" in made.maps:
        yield "samples and their spread are not written; kedro run --params variant=probabilistic"


def _write(table: Path | None, name: str, made: _Made) -> Row:
    """Write what was made of a scan, and remove what an earlier call made of it otherwise."""
    task, case, row = made.task, made.case, made.row
    if case is None:
        return row
    began = time.monotonic()
    for path in made.stale:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if table is not None:  # a call that is killed now knows its own files
        own = "" if made.replaces else row.fingerprint
        append_row(table, replace(row, status="begun", fingerprint=own))
    write_outputs(case, task, row, ours=made.ours, replaces=made.replaces)
    seconds = round(row.seconds + time.monotonic() - began, 2)
    return replace(_said_of_others(task, row), seconds=seconds)


def _said_of_others(task: Task, row: Row) -> Row:
    """Name files beside an image that may be taken for its own, but are not of this call."""
    paths = [path for path in [*task.outputs.values(), *task.others] if path != task.record]
    others = [path.name for path in paths if path.exists() and not row.wrote(path)]
    return row.with_reason(f"{', '.join(others)} beside it: not of this call") if others else row


def _failed(task: Task, failure: Any, table: Path | None) -> Row:
    """Return the row of a scan that failed; what was made or begun of it is known as before."""
    row = Row(task.raw.id, "failed", *task.inputs, reason=printable(failure.reason))
    last = None if table is None else read_table(table).get(task.raw.id)
    return row if last is None else replace(row, fingerprint=last.fingerprint, files=last.files)
