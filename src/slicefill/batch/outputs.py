"""Files of one imputed scan."""

from pathlib import Path

from slicefill.batch.tasks import Task
from slicefill.types import Case


def check_outputs(task: Task) -> None:
    """Refuse a scan of which an output cannot be written, before it is imputed."""
    if "dicom" in task.outputs:
        from slicefill.ingestion.companions import source_files
        from slicefill.io.dicom_series import check_sources

        check_sources(source_files(task.raw.image))


def write_outputs(case: Case, task: Task, fingerprint: str) -> None:
    """Write the outputs of a case.

    The image and then its record come last, so that a record means that all is there. An old record
    is removed first: a call that is killed here must not leave a record of other files.
    """
    from slicefill.io.case_folder import encode_record
    from slicefill.io.scan_files import write_scan
    from slicefill.io.storage import replace_file

    maps = {"mask": "synthetic_mask", "confidence": "confidence"}
    volumes = {what: case.maps[stem] for what, stem in maps.items()}
    volumes |= {"image": case.image} | ({} if case.label is None else {"label": case.label})
    record = task.outputs.get("record")
    if record is not None:
        record.unlink(missing_ok=True)
    for what, path in reversed(list(task.outputs.items())):
        if what == "dicom":
            _write_dicom(case, task, path)
        elif what in volumes:
            write_scan(volumes[what], path)
    if record is not None:
        replace_file(record, encode_record({**case.record, "fingerprint": fingerprint}))


def _write_dicom(case: Case, task: Task, folder: Path) -> None:
    """Write a derived series, and the label map as DICOM SEG, which needs a label."""
    from slicefill.ingestion.companions import source_files
    from slicefill.io.dicom_seg import write_seg
    from slicefill.io.dicom_series import write_series

    series = write_series(case, source_files(task.raw.image), folder)
    if case.label is not None and has_labels(case):
        write_seg(case.label, series, task.outputs["seg"])
    elif "seg" in task.outputs:
        task.outputs["seg"].unlink(missing_ok=True)


def has_labels(case: Case) -> bool:
    """Tell whether a case has a label map that shows more than background."""
    return case.label is not None and bool(case.label.stored.any())
