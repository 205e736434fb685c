"""The whole tree: every volume file, every DICOM series, and label maps by their names."""

from pathlib import Path

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import Found, LeftAside, RawCase
from slicefill.ingestion.label_names import Pairs, pair_names
from slicefill.ingestion.raw_files import list_files, volumes
from slicefill.ingestion.suffixes import stem_below
from slicefill.params import IngestionParams

EXPECTED = "volume files or DICOM series"


def find(folder: Path, params: IngestionParams) -> Found:
    """Take every volume and every series; ids are paths without suffix."""
    from slicefill.ingestion.dicom_sorting import sort_dicom

    files, _ = list_files(folder)
    scans = {path: stem_below(path, folder) for path in volumes(files)}
    found = sort_dicom([path for path in files if path not in scans], folder)
    pairs = pair_names(sorted(set(scans.values())))
    by_name: dict[str, list[Path]] = {}
    for path, name in scans.items():
        by_name.setdefault(name, []).append(path)
    for name, paths in by_name.items():
        _sort_name(name, paths, pairs, by_name, found)
    return found


def _sort_name(
    name: str, paths: list[Path], pairs: Pairs, by_name: dict[str, list[Path]], found: Found
) -> None:
    """Sort the files of one name; there are several where their suffixes differ."""
    if name in pairs.orphans:
        found.refused += [_orphan(name, path, pairs.orphans[name]) for path in paths]
    elif name in pairs.others:
        found.left_aside += [LeftAside(path, pairs.others[name]) for path in paths]
    elif name in pairs.label_of.values():
        found.left_aside += [
            LeftAside(path, "a label map that is there in another format") for path in paths[1:]
        ]
    else:
        label = by_name[pairs.label_of[name]][0] if name in pairs.label_of else None
        found.cases += [RawCase(name, path, label) for path in paths]


def _orphan(name: str, path: Path, problem: str) -> BadCase:
    return BadCase(
        expected="an image for every label map, beside it and called alike",
        found=problem,
        remedy="name the label map after its image (scan, scan_seg), or rename it if it is a scan",
        case=name,
        file=path,
    )
