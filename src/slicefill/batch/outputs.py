"""Files of one imputed scan."""

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

from slicefill.batch.table import Row
from slicefill.batch.tasks import Task
from slicefill.imputation.grids import across_series, wanted_grid
from slicefill.ingestion.checks import BadCase
from slicefill.params import ImputationParams
from slicefill.types import Case


def check_outputs(task: Task, case: Case, params: ImputationParams) -> None:
    """Refuse a scan of which an output cannot be written, before it is imputed.

    Args:
        task: The scan and its outputs.
        case: The scan, read.
        params: How it is to be imputed.

    Raises:
        BadCase: Says what to do.
    """
    if "dicom" in task.outputs:
        from slicefill.ingestion.companions import source_files
        from slicefill.io.dicom_series import check_sources

        check_sources(source_files(task.raw.image))
        if not case.absent:
            _check_axis(case, params)
    if "seg" in task.outputs and has_labels(case) and find_spec("highdicom") is None:
        raise BadCase(
            expected="the package highdicom, which writes the label map as DICOM SEG",
            found="none",
            remedy="pip install 'slicefill[dicom]', or leave out --dicom or the label map",
        )


def _check_axis(case: Case, params: ImputationParams) -> None:
    """Refuse what would lie between the columns or the rows: a series has slices alone."""
    grid = wanted_grid(case.image, params)
    if not grid.dense and grid.axis != Case.ACROSS:
        raise BadCase(
            expected="slices to impute between those of the series",
            found=f"some between its {('columns', 'rows')[grid.axis]} (axis: "
            f"{params.through_plane})",
            remedy=f"--axis {across_series(case)}, or leave out --dicom",
        )


def written_outputs(case: Case, task: Task) -> dict[str, Path]:
    """Return the outputs that an imputed case has: some methods impute no label map.

    A DICOM SEG needs a label.
    """
    absent = {"label"} if case.label is None else set()
    absent |= set() if has_labels(case) else {"seg"}
    return {what: path for what, path in task.outputs.items() if what not in absent}


def write_outputs(
    case: Case, task: Task, row: Row, *, ours: Collection[Path], replaces: bool
) -> None:
    """Write the outputs of a case, the image last.

    A call that is killed here leaves a record by which the next one knows its files. Where it
    replaces other files, it must not: the old record is removed first, and the new one comes last.

    Args:
        case: Imputed.
        task: Where to.
        row: What the record says of fingerprint and files, for a later call.
        ours: Outputs that are there and stay; the record is written anew in any case.
        replaces: Whether a file is there that is none of these.
    """
    from slicefill.io.scan_files import write_scan

    maps = {"mask": "synthetic_mask", "confidence": "confidence"}
    volumes = {what: case.maps[stem] for what, stem in maps.items()}
    volumes |= {"image": case.image} | ({} if case.label is None else {"label": case.label})
    record, written = task.outputs.get("record"), written_outputs(case, task)
    series = {path for what, path in written.items() if what in ("dicom", "seg")}
    if record is not None and replaces:
        record.unlink(missing_ok=True)
    elif record is not None:
        _write_record(case, record, row)
    for what, path in reversed(list(task.outputs.items())):
        if what == "dicom" and not series <= set(ours):  # a label map refers to its series
            _write_dicom(case, task, path, written.get("seg"))
        elif what in volumes and path not in ours:
            write_scan(volumes[what], path)
    if record is not None and replaces:
        _write_record(case, record, row)


def _write_record(case: Case, path: Path, row: Row) -> None:
    """Write the record of a case, and by what a later call knows its files."""
    from slicefill.io.case_folder import encode_record
    from slicefill.io.storage import replace_file

    known = {"fingerprint": row.fingerprint, "files": row.files.split("/")}
    replace_file(path, encode_record({**case.record, **known}))


def _write_dicom(case: Case, task: Task, folder: Path, seg: Path | None) -> None:
    """Write a derived series, and the label map as DICOM SEG if there is to be one."""
    from slicefill.ingestion.companions import source_files
    from slicefill.io.dicom_seg import write_seg
    from slicefill.io.dicom_series import write_series

    series = write_series(case, source_files(task.raw.image), folder)
    if case.label is not None and seg is not None:
        write_seg(case.label, series, seg)


def has_labels(case: Case) -> bool:
    """Tell whether a case has a label map that shows more than background."""
    return case.label is not None and bool(case.label.stored.any())
