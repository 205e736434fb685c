"""Propagates the sparse labels of scans, one label map out for one scan in."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from slicefill.batch.loop import make_each
from slicefill.batch.segment import name_confidence
from slicefill.batch.tasks import name_outputs
from slicefill.ingestion.label_names import PROPAGATED
from slicefill.ingestion.layouts import RawCase
from slicefill.io.scan_files import beside
from slicefill.types import Case


def name_propagated(source: Path, out: Path | None, cases: Sequence[RawCase]) -> dict[str, Path]:
    """Name the filled label map of every scan, by case id.

    Raises:
        ValueError: If many scans would go into one file, its format is not written, or an output
            would replace an input.
    """
    return name_outputs(source, out, cases, PROPAGATED)


def name_record(label: Path) -> Path:
    """Name the record beside a label map."""
    return beside(label, ".json")


def propagate_scans(
    cases: Sequence[RawCase],
    names: Mapping[str, Path],
    propagate: Callable[[Case], Case],
    *,
    overwrite: bool,
    confidence: bool = False,
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Propagate the labels of every scan and write them; one that fails does not stop the others.

    Beside a label map, its record is written: the same name that ends in .json.

    Args:
        cases: The scans, with their sparse label maps.
        names: Of the filled label maps, by case id.
        propagate: Fills the labels of one.
        overwrite: Whether label maps that are there are replaced.
        confidence: Whether the map of the confidence is written, too (`name_confidence`).

    Returns:
        The record of each that was filled, and the reason of each failure, by case id.
    """
    make = partial(_propagate, propagate=propagate, confidence=confidence)
    files = {
        case: [path, name_record(path), *([name_confidence(path)] if confidence else [])]
        for case, path in names.items()
    }
    return make_each(cases, files, make, overwrite=overwrite, title="propagating")


def _propagate(
    raw: RawCase, path: Path, propagate: Callable[[Case], Case], *, confidence: bool
) -> Mapping[str, Any]:
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.io.case_folder import encode_record
    from slicefill.io.scan_files import write_scan
    from slicefill.io.storage import replace_file
    from slicefill.params.ingestion import sparsely_labelled

    made = propagate(read_raw_case(raw, sparsely_labelled()))
    if confidence:
        write_scan(made.maps["confidence"], name_confidence(path))
    replace_file(name_record(path), encode_record(made.record))
    if made.label is not None:
        write_scan(made.label, path)  # last: where it is, all is
    return made.record
