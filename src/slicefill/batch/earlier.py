"""Files that are there of a scan: those that an earlier call wrote, and those that none did."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from slicefill.batch.table import UNFINISHED, Row
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
    mine = before if before is not None and before.fingerprint == own != "" else None
    if mine and _is_whole(mine, own) and all(_is_there(what, task, mine) for what in task.outputs):
        return replace(mine, status="kept", reason=mine.reason if mine.status == "imputed" else "")
    paths = task.outputs.values()
    in_way = [path for path in paths if path.exists() and not (mine and mine.wrote(path))]
    in_way += find_stale(task, own, before, paths)
    if in_way and not overwrite:
        reason = f"{in_way[0]} exists already; {REMEDY}"
        return Row(task.raw.id, "refused", *task.inputs, reason=reason)
    return None


def find_stale(task: Task, own: str, before: Row | None, written: Collection[Path]) -> list[Path]:
    """Return what an earlier call wrote of a scan that would be out of date beside its new output.

    Args:
        task: The scan and its outputs.
        own: Fingerprint of what is to be made.
        before: What the table says of the scan.
        written: What is to be written.
    """
    if before is None or _is_whole(before, own):
        return []
    paths = [*task.outputs.values(), *task.others]
    return [path for path in paths if path not in written and before.wrote(path) and path.exists()]


def all_files(task: Task, own: str, before: Row | None, written: Collection[Path]) -> str:
    """Return the `files` of a scan's row once it is written: what goes with the new output, too."""
    names = [printable(path.name) for path in written]
    if before is not None and _is_whole(before, own):
        names += [printable(path.name) for path in task.others if before.wrote(path)]
    return "/".join(names)


def _is_whole(before: Row, own: str) -> bool:
    """Whether an earlier call wrote all that it was asked for, of the same fingerprint."""
    same = before.fingerprint == own != ""
    return same and bool(before.output) and before.status not in UNFINISHED


def _is_there(what: str, task: Task, before: Row) -> bool:
    """Whether an earlier call wrote an output, and it lies there; or had nothing to write."""
    path = task.outputs[what]
    if before.wrote(path):
        return path.exists()
    return what in _COMES_WITH and before.wrote(task.outputs[_COMES_WITH[what]])
