"""The scans of a file, folder, zip or data set, with label maps that a caller names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from slicefill.batch.tasks import real
from slicefill.ingestion import layouts
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import LeftAside
from slicefill.ingestion.layouts import Found, RawCase
from slicefill.params.ingestion import own_scans

_ONE_OF_A_NAME = "leave one file of this name in the folder of label maps"


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
        label: The label map of a single scan, or a folder of label maps of the same names: a scan
            without one there has none, whatever lies beside it, and one whose label map cannot be
            used is refused. Label maps that go with no scan are listed in `Found.unpaired`. None:
            those that the layout of the source pairs.
        labelled: Whether label maps are read at all.
        out: A folder of outputs; what lies in it is no scan, though it lies in the source.

    Raises:
        ValueError: If label maps cannot be paired with scans.
    """
    with layouts.find_scans(source, own_scans()) as found:
        if out is not None and out.is_dir() and real(out).is_relative_to(real(source)):
            _leave_out(found, source, out)
        cases, refused, unpaired = found.cases, found.refused, found.unpaired
        if label is not None and label.is_dir():
            cases, broken, unpaired = _pair_by_name(cases, label)
            refused = [*refused, *broken]
            unpaired = [] if source.is_file() else unpaired  # the others are of other scans
        elif label is not None:
            cases = _pair_one(cases, label)
        elif not labelled:
            cases = [replace(each, label=None) for each in cases]
        yield replace(found, cases=cases, refused=refused, unpaired=unpaired)


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


def _pair_one(cases: list[RawCase], label: Path) -> list[RawCase]:
    if len(cases) != 1:
        msg = (
            f"label map {label}: expected one scan for one label map, found {len(cases)} scans; "
            "name a folder of label maps of the same names"
        )
        raise ValueError(msg)
    if isinstance(cases[0].image, Path) and real(cases[0].image) == real(label):
        msg = f"{label}: expected a label map, got the scan itself; name its label map"
        raise ValueError(msg)
    return [replace(cases[0], label=label)]


def _pair_by_name(
    cases: list[RawCase], folder: Path
) -> tuple[list[RawCase], list[BadCase], list[LeftAside]]:
    """Pair scans with the label maps of a folder; list those that go with none.

    Returns:
        The scans, those whose label map cannot be used, and the label maps of no scan.
    """
    with layouts.find_scans(folder, own_scans()) as found:
        labels = {each.id: each.image for each in found.cases if isinstance(each.image, Path)}
    scans = {case.id for case in cases}
    if not scans & labels.keys():
        names = [each.place.name for each in found.cases]
        names += [each.file.name for each in found.refused if each.file]
        msg = (
            f"label maps in {folder}: expected files named as the scans "
            f"({', '.join(case.id for case in cases[:3])}), found {', '.join(names[:3]) or 'none'}"
        )
        raise ValueError(msg)
    broken = [
        BadCase(
            "one label map of its name", each.found, _ONE_OF_A_NAME, case=each.case, file=each.file
        )
        for each in found.refused
        if each.case in scans
    ]
    bad = {each.case for each in broken}
    paired = [replace(case, label=labels.get(case.id)) for case in cases if case.id not in bad]
    places = [each.place for each in found.cases if each.id not in scans]
    places += [each.file or folder / each.case for each in found.refused if each.case not in scans]
    return paired, broken, [LeftAside(place, "no scan has its name") for place in places]
