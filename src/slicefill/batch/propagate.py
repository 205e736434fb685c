"""Propagates the sparse labels of scans, one label map out for one scan in."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slicefill.batch.loop import make_each
from slicefill.batch.one_scan import scan_fingerprint
from slicefill.batch.segment import name_confidence
from slicefill.batch.tasks import REMEDY, name_outputs, real
from slicefill.ingestion.companions import case_files
from slicefill.ingestion.integrity import checksum
from slicefill.ingestion.label_names import PROPAGATED
from slicefill.ingestion.layouts import RawCase
from slicefill.io.scan_files import beside
from slicefill.io.storage import remove_unfinished
from slicefill.types import Case


@dataclass(frozen=True)
class Propagated:
    """What became of a scan.

    Attributes:
        record: Of its label map, as it lies on disk.
        kept: Whether an earlier call made it, and nothing was written.
        not_of_it: A file beside it that may be taken for its confidence, and is not; "": none.
    """

    record: Mapping[str, Any]
    kept: bool = False
    not_of_it: str = ""


def name_propagated(source: Path, out: Path | None, cases: Sequence[RawCase]) -> dict[str, Path]:
    """Name the filled label map of every scan, by case id.

    Raises:
        ValueError: If many scans would go into one file, its format is not written, or an output
            or what lies beside it would replace an input.
    """
    names = name_outputs(source, out, cases, PROPAGATED)
    inputs = {real(file) for raw in cases for file in case_files(raw)}
    for label in names.values():
        for path in _files(label, confidence=True):
            if real(path) in inputs:
                msg = f"{path}: expected another name than that of the input; nothing was written"
                raise ValueError(msg)
    return names


def name_record(label: Path) -> Path:
    """Name the record beside a label map."""
    return beside(label, ".json")


def _files(label: Path, *, confidence: bool) -> list[Path]:
    """Name what is written of a scan: its label map, the record, and perhaps the confidence."""
    return [label, name_record(label), *([name_confidence(label)] if confidence else [])]


def remove_unfinished_labels(names: Mapping[str, Path]) -> int:
    """Remove what calls that were killed left half written; how many files.

    Args:
        names: Of the filled label maps, by case id.
    """
    if len(names) > 1:
        return sum(map(remove_unfinished, {label.parent for label in names.values()}))
    files = [path for label in names.values() for path in _files(label, confidence=True)]
    return sum(remove_unfinished(path.parent, path.name) for path in files)


def propagate_scans(
    cases: Sequence[RawCase],
    names: Mapping[str, Path],
    propagate: Callable[[Case], Case],
    *,
    rule: str,
    overwrite: bool,
    confidence: bool = False,
) -> tuple[dict[str, Propagated], dict[str, str]]:
    """Propagate the labels of every scan and write them; one that fails does not stop the others.

    Beside a label map, its record is written: the same name that ends in .json. What an earlier
    call made of the same scan, label map and rule is left as it is.

    Args:
        cases: The scans, with their sparse label maps.
        names: Of the filled label maps, by case id.
        propagate: Fills the labels of one.
        rule: Fingerprint of how it does.
        overwrite: Whether label maps that were made otherwise are replaced.
        confidence: Whether the map of the confidence is written, too (`name_confidence`).

    Returns:
        What became of each that was filled, and the reason of each failure, by case id.
    """
    done: dict[str, Propagated] = {}
    failed: dict[str, str] = {}
    for raw in cases:
        files = _files(names[raw.id], confidence=confidence)
        own = scan_fingerprint(raw, rule) if files[1].exists() else ""
        settled = _settle(files, own, overwrite=overwrite)
        if isinstance(settled, Propagated):
            done[raw.id] = settled
        elif settled:
            failed[raw.id] = settled
    left = [raw for raw in cases if raw.id not in done and raw.id not in failed]
    make = partial(_propagate, propagate=propagate, rule=rule, confidence=confidence)
    files_of = {case: [path] for case, path in names.items()}
    made, broken = make_each(left, files_of, make, overwrite=True, title="propagating")
    return done | made, failed | broken


def _settle(files: Sequence[Path], own: str, *, overwrite: bool) -> Propagated | str:
    """Return what an earlier call made of a scan, or what is in the way; "": it is to be made.

    Args:
        files: The label map, the record, and further ones.
        own: Fingerprint of what is to be made.
        overwrite: Whether files in the way may be replaced.
    """
    label, record = files[:2]
    before = _read_record(record)
    if before is None and record.exists():
        return (
            f"{record}: expected a record that propagate wrote, or none, found another file; "
            "name another output"
        )
    before = before or {}
    same, begun = before.get("fingerprint") == own != "", before.get("unfinished", False)
    if same and not begun and all(path.exists() for path in files):
        return Propagated(before, kept=True)
    mine = {record.name, *before.get("files", [])} if same or begun or not label.exists() else set()
    if label.exists() and not begun and before.get("label_sha256") != checksum([label]):
        mine.discard(label.name)  # corrected since
    in_way = [path for path in files if path.exists() and path.name not in mine]
    return f"{in_way[0]} exists; {REMEDY}" if in_way and not overwrite else ""


def _read_record(path: Path) -> dict[str, Any] | None:
    """Read a record that a call wrote; None where there is none, or something else."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "annotate_next" in record else None


def _propagate(
    raw: RawCase,
    path: Path,
    propagate: Callable[[Case], Case],
    rule: str,
    *,
    confidence: bool,
) -> Propagated:
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.io.case_folder import encode_record
    from slicefill.io.scan_files import write_scan
    from slicefill.io.storage import replace_file
    from slicefill.params.ingestion import sparsely_labelled

    made = propagate(read_raw_case(raw, sparsely_labelled()))
    not_of_it = "" if confidence else _remove_stale(path)
    files = [each.name for each in _files(path, confidence=confidence)]
    own = scan_fingerprint(raw, rule)
    record = {**made.record, "fingerprint": own, "files": files}
    # a call that is killed from here on knows its own files
    replace_file(name_record(path), encode_record({**record, "unfinished": True}))
    if confidence:
        write_scan(made.maps["confidence"], name_confidence(path))
    if made.label is not None:
        write_scan(made.label, path)
        record["label_sha256"] = checksum([path])
    replace_file(name_record(path), encode_record(record))
    return Propagated(record, not_of_it=not_of_it)


def _remove_stale(label: Path) -> str:
    """Remove the confidence of an earlier label map; name a file in its place that is not ours."""
    stale, before = name_confidence(label), _read_record(name_record(label))
    if not stale.exists():
        return ""
    if before is None or stale.name not in before.get("files", [stale.name]):
        return stale.name
    stale.unlink()
    return ""
