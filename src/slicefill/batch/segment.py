"""Segments scans, one file out for one file in."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slicefill.batch.tasks import name_outputs
from slicefill.ingestion.layouts import RawCase
from slicefill.types import Case, Volume

ENDING = "_label"


def name_labels(source: Path, out: Path | None, cases: Sequence[RawCase]) -> dict[str, Path]:
    """Name the label map of every scan, by case id.

    Raises:
        ValueError: If many scans would go into one file, its format is not written, or an output
            would replace an input.
    """
    return name_outputs(source, out, cases, ENDING)


def segment_scans(
    cases: Sequence[RawCase],
    names: Mapping[str, Path],
    predict: Callable[[Case], Volume],
    *,
    overwrite: bool,
) -> dict[str, str]:
    """Segment every scan and write its label map; one that fails does not stop the others.

    Returns:
        The reason of each failure, by case id.
    """
    failed = {}
    for raw in cases:
        try:
            if names[raw.id].exists() and not overwrite:
                failed[raw.id] = f"{names[raw.id]} exists; name another output, or --overwrite"
                continue
            _segment(raw, names[raw.id], predict)
        except Exception as error:  # a scan that fails must not stop the others
            failed[raw.id] = f"{type(error).__name__}: {error}"
    return failed


def _segment(raw: RawCase, path: Path, predict: Callable[[Case], Volume]) -> None:
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.io.scan_files import write_scan
    from slicefill.params.ingestion import own_scans

    write_scan(predict(read_raw_case(raw, own_scans())), path)
