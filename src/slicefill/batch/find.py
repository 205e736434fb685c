"""The scans of a file, folder, zip or data set, with label maps that a caller names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from slicefill.batch.tasks import real
from slicefill.ingestion import layouts
from slicefill.ingestion.layouts import Found, RawCase
from slicefill.params.ingestion import own_scans


@contextmanager
def find_scans(
    source: Path,
    label: Path | None = None,
    *,
    labelled: bool = True,
    out: Path | None = None,
) -> Iterator[Found]:
    """Find the scans; what a zip holds is there while the block runs.

    Args:
        source: A file, a folder or a zip.
        label: The label map of a single scan, or a folder of label maps of the same names; None:
            those that the layout of the source pairs.
        labelled: Whether label maps are read at all.
        out: A folder of outputs; what lies in it is no scan, though it lies in the source.

    Raises:
        ValueError: If label maps cannot be paired with scans.
    """
    with layouts.find_scans(source, own_scans()) as found:
        if out is not None and out.is_dir() and real(out).is_relative_to(real(source)):
            _leave_out(found, source, out)
        cases = found.cases
        if label is not None:
            cases = _pair(cases, label)
        elif not labelled:
            cases = [replace(each, label=None) for each in cases]
        yield replace(found, cases=cases)


def _leave_out(found: Found, source: Path, out: Path) -> None:
    folder = real(out)
    if folder == real(source):
        msg = f"{out}: expected another folder than that of the scans; nothing was written"
        raise ValueError(msg)
    found.cases[:] = [c for c in found.cases if not _lies_in(c.place, folder)]
    found.left_aside[:] = [a for a in found.left_aside if not _lies_in(a.path, folder)]
    found.refused[:] = [e for e in found.refused if e.file is None or not _lies_in(e.file, folder)]


def _lies_in(path: Path, folder: Path) -> bool:
    return real(path).is_relative_to(folder)


def _pair(cases: list[RawCase], label: Path) -> list[RawCase]:
    if not label.is_dir():
        if len(cases) != 1:
            msg = (
                f"--label {label}: expected one scan for one label map, found {len(cases)} scans; "
                "name a folder of label maps of the same names"
            )
            raise ValueError(msg)
        if isinstance(cases[0].image, Path) and real(cases[0].image) == real(label):
            msg = f"--label {label}: expected a label map, got the scan itself"
            raise ValueError(msg)
        return [replace(cases[0], label=label)]
    with layouts.find_scans(label, own_scans()) as found:
        labels = {each.id: each.image for each in found.cases if isinstance(each.image, Path)}
    paired = [replace(case, label=labels.get(case.id, case.label)) for case in cases]
    if not any(case.id in labels for case in cases):
        msg = (
            f"--label {label}: expected label maps named as the scans "
            f"({', '.join(case.id for case in cases[:3])}), found {', '.join(list(labels)[:3])}"
        )
        raise ValueError(msg)
    return paired
