"""Imputes the scans of a plan, one after the other or in several processes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slicefill.batch.table import Row, append_row, read_table, write_table
from slicefill.batch.tasks import TABLE, Plan, Task
from slicefill.execution.each import prepared, run_each
from slicefill.execution.serial import MakeThenWrite
from slicefill.fingerprint import fingerprint
from slicefill.params import ExecutorParams, ImputationParams
from slicefill.types import Case, Lazy

if TYPE_CHECKING:
    from slicefill.imputation.impute import Imputer

UNIMPORTANT = {"methods", "weights", "cases", "batch_pixels", "confidence"}
"""Parameters of imputation that change no case, or are part of the method's own fingerprint."""
Report = Callable[[Row], None]


@dataclass(frozen=True)
class Order:
    """How scans are imputed.

    Attributes:
        load: Prepares the method; picklable.
        params: Slices per interval, axis, device.
        overwrite: Whether outputs that were made otherwise are replaced.
    """

    load: "Callable[[ImputationParams], Imputer]"
    params: ImputationParams
    overwrite: bool = False


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
        report: Called with the row of every scan as soon as it is known.

    Returns:
        The rows, in the order of the plan.

    Raises:
        ValueError: If the method cannot be prepared.
    """
    own = order.load(order.params)  # what cannot be prepared is refused now, not scan by scan
    rule = order.params.model_dump(exclude=UNIMPORTANT)
    imputer = Lazy(partial(order.load, order.params), fingerprint(own.fingerprint, rule))
    table = None if plan.folder is None else plan.folder / TABLE
    known = {} if table is None else read_table(table)
    work = MakeThenWrite(partial(_make, imputer, order, known), _write)
    rows: dict[str, Row] = {}

    def note(name: str, outcome: Any) -> None:
        task = plan.tasks[name]
        row = outcome if isinstance(outcome, Row) else _failed(task, outcome)
        rows[name] = row
        if table is not None and row.status != "kept":
            append_row(table, row)
        report(row)

    run_each(work, plan.tasks, executor, "impute", note=note)
    ordered = {name: rows[name] for name in plan.tasks}
    if table is not None:
        write_table(table, {**known, **_without_kept(known, ordered)}.values())
    return ordered


def _make(
    imputer: "Lazy[Imputer]", order: Order, known: Mapping[str, Row], name: str, task: Task
) -> tuple[Task, Case | None, Row]:
    """Read and impute a scan; or say why there is nothing to write."""
    from slicefill.ingestion.checks import BadCase
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.params.ingestion import own_scans

    began = time.monotonic()
    row = Row(name, "failed", str(task.raw.image), str(task.raw.label or ""))
    try:
        own = _fingerprint(task, imputer)
        row = replace(row, fingerprint=own, output=task.outputs["image"].name)
        there = [path for path in task.outputs.values() if path.exists()]
        if name in known and known[name].fingerprint == own and len(there) == len(task.outputs):
            return task, None, replace(known[name], status="kept")
        if there and not order.overwrite:
            reason = f"{there[0]} exists and was made otherwise; name another output or --overwrite"
            return task, None, replace(row, status="refused", reason=reason)
        case = read_raw_case(task.raw, own_scans())
    except BadCase as error:
        return task, None, replace(row, status="refused", reason=str(error))
    made, row = impute_scan(case, prepared(imputer), order.params, replace(row, case=name))
    return task, made, replace(row, seconds=time.monotonic() - began)


def impute_scan(
    case: Case, imputer: "Imputer", params: ImputationParams, row: Row
) -> tuple[Case | None, Row]:
    """Impute one case; None where there is nothing to impute."""
    from slicefill.geometry import through_plane_axis
    from slicefill.imputation.impute import impute_case, slices_per_interval

    axis = through_plane_axis(case.image.affine, params.through_plane)
    described = replace(
        row,
        method=imputer.name,
        spacing_in=_times(case.image.spacing),
        slices_in=case.image.stored.shape[axis],
    )
    if slices_per_interval(case.image.spacing, axis, params) == 0:
        reason = f"slices {case.image.spacing[axis]:.3g} mm apart are dense enough already"
        return None, replace(described, status="nothing to do", output="", reason=reason)
    rng = np.random.default_rng([params.seed, *row.case.encode()])
    made = impute_case(case, imputer, params, rng)
    believed = [each["confidence"] for each in made.record["slices"] if "confidence" in each]
    means = [each for each in believed if each is not None]
    return made, replace(
        described,
        status="imputed",
        spacing_out=_times(made.image.spacing),
        slices_out=made.image.stored.shape[axis],
        confidence=f"{np.mean(means):.3f}" if means else "",
    )


def _write(name: str, made: tuple[Task, Case | None, Row]) -> Row:
    """Write what was made of a scan, the image last: where it is, all is."""
    from slicefill.io.case_folder import encode_record
    from slicefill.io.scan_files import write_scan
    from slicefill.io.storage import replace_file

    task, case, row = made
    if case is None:
        return row
    began = time.monotonic()
    maps = {"mask": "synthetic_mask", "confidence": "confidence"}
    volumes = {what: case.maps[stem] for what, stem in maps.items()}
    volumes |= {"image": case.image} | ({} if case.label is None else {"label": case.label})
    for what, path in reversed(task.outputs.items()):
        if what == "record":
            replace_file(path, encode_record({**case.record, "fingerprint": row.fingerprint}))
        elif what == "dicom":
            _write_dicom(case, task, path)
        elif what in volumes:
            write_scan(volumes[what], path)
    return replace(row, seconds=round(row.seconds + time.monotonic() - began, 2))


def _write_dicom(case: Case, task: Task, folder: Path) -> None:
    from slicefill.ingestion.reading import source_files
    from slicefill.io.dicom_series import write_series

    write_series(case, source_files(task.raw.image), folder)


def _fingerprint(task: Task, imputer: "Lazy[Imputer]") -> str:
    from slicefill.ingestion.integrity import checksum
    from slicefill.ingestion.reading import source_files

    raw = task.raw
    label = checksum(source_files(raw.label)) if raw.label else ""
    names = {what: path.name for what, path in task.outputs.items()}
    return fingerprint(checksum(source_files(raw.image)), label, imputer.fingerprint, names)


def _failed(task: Task, failure: Any) -> Row:
    return Row(
        task.raw.id,
        "failed",
        str(task.raw.image),
        str(task.raw.label or ""),
        reason=failure.reason,
    )


def _without_kept(known: Mapping[str, Row], rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return the rows for the table: a scan that was kept has the row of the call that made it."""
    return {name: known[name] if row.status == "kept" else row for name, row in rows.items()}


def _times(spacing: Any) -> str:
    return " × ".join(f"{pitch:.3g}" for pitch in spacing)
