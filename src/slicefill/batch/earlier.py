"""Files that are there of a scan: those that an earlier call wrote, and those that none did."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from slicefill.batch.table import Row
from slicefill.batch.tasks import REMEDY, Task
from slicefill.ingestion.checks import printable

_COMES_WITH = {"label": "image", "seg": "dicom"}
"""What is asked for with an output, and not written where there is nothing to write."""


def find_made(task: Task, own: str, before: Row | None, *, overwrite: bool) -> Row | None:
    """Look at what is there of a scan.

    Args:
        task: The scan and its outputs.
        own: Fingerprint of what is to be made.
        before: What the table says of the scan.
        overwrite: Whether files in the way may be replaced.

    Returns:
        The row if nothing is to be made: all is there, or a file is in the way. Only a file that an
        earlier call wrote of the same fingerprint is in nobody's way.
    """
    mine = _same(before, own)
    if mine and mine.output and all(_is_there(what, task, mine) for what in task.outputs):
        return replace(mine, status="kept", reason=mine.reason if mine.status == "imputed" else "")
    paths, ours = task.outputs.values(), find_ours(task, own, before)
    in_way = [path for path in paths if path.exists() and path not in ours]
    in_way += find_stale(task, own, before, paths)
    if in_way and not overwrite:
        reason = f"{in_way[0]} exists already; {REMEDY}"
        return Row(task.raw.id, "refused", *task.inputs, reason=reason)
    return None


def find_ours(task: Task, own: str, before: Row | None) -> list[Path]:
    """Return the outputs of a scan that an earlier call wrote of the same fingerprint.

    They stay as they are: one may have been corrected by hand since. A DICOM SEG refers to the
    series beside it: without that, it is none of them.

    Args:
        task: The scan and its outputs.
        own: Fingerprint of what is to be made.
        before: What the table says of the scan.
    """
    if _same(before, own) is None:
        return []
    there = {what for what in task.outputs if _lies_there(task.outputs[what], before)}
    alone = set() if "dicom" in there else {"seg"}
    return [path for what, path in task.outputs.items() if what in there - alone]


def find_stale(task: Task, own: str, before: Row | None, written: Collection[Path]) -> list[Path]:
    """Return what an earlier call wrote of a scan that would be out of date beside its new output.

    Args:
        task: The scan and its outputs.
        own: Fingerprint of what is to be made.
        before: What the table says of the scan.
        written: What is to be written.
    """
    if _same(before, own) is not None:
        return []
    paths = [*task.outputs.values(), *task.others]
    return [path for path in paths if path not in written and _lies_there(path, before)]


def all_files(task: Task, own: str, before: Row | None, written: Collection[Path]) -> str:
    """Return the `files` of a scan's row once it is written: what goes with the new output, too."""
    names = [printable(path.name) for path in written]
    if _same(before, own) is not None:
        names += [printable(path.name) for path in task.others if _lies_there(path, before)]
    return "/".join(names)


def _same(before: Row | None, own: str) -> Row | None:
    """Return what the table says of a scan if what lies there of it is of the same fingerprint."""
    return before if before is not None and before.fingerprint == own != "" else None


def _lies_there(path: Path, before: Row | None) -> bool:
    return before is not None and before.wrote(path) and path.exists()


def _is_there(what: str, task: Task, before: Row) -> bool:
    """Whether an earlier call wrote an output, and it lies there; or had nothing to write."""
    path = task.outputs[what]
    if before.wrote(path):
        return path.exists()
    return what in _COMES_WITH and before.wrote(task.outputs[_COMES_WITH[what]])
