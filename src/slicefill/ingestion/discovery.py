"""Finding of scans in a folder, a file or an archive: sorted into cases, refused, left aside."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.companions import case_files, header_of, source_files
from slicefill.ingestion.found import Found, LeftAside, RawCase, distinct_ids, group_left_aside
from slicefill.ingestion.raw_files import foreign_kind, list_files, reason_to_leave
from slicefill.ingestion.sniffing import what_is
from slicefill.ingestion.suffixes import VOLUMES, stem_of, suffix_of
from slicefill.params import IngestionParams
from slicefill.plugins import find_kind

_AGAIN = "copy or download it again (unzip -t tests it)"
LAYOUTS = "slicefill.ingestion.layouts"


def find_cases(folder: Path, params: IngestionParams) -> Found:
    """Sort all files below a raw folder by its layout.

    Returns:
        Cases and refused ones by id. Every file is used by a case, the file of one that is
        refused, or left aside with its reason; files of hidden folders are under their folder.

    Raises:
        FileNotFoundError: If the folder holds nothing of the expected layout.
    """
    return _find_cases(folder, params, folder, folder)


def _find_cases(folder: Path, params: IngestionParams, given: Path, root: Path) -> Found:
    """Sort a folder; messages name what was given, and files below its root."""
    layout = find_kind(LAYOUTS, params.layout, "ingestion.layout")
    found: Found = layout.find(folder, params) if folder.is_dir() else Found()
    found = _with_ids(found)
    if folder.is_dir():
        found.left_aside += _rest(folder, found, params.layout)
    if not found.cases and not found.refused:
        msg = (
            f"{given}: expected {layout.EXPECTED} (layout: {params.layout}), "
            f"found {_content(root, found)}"
        )
        raise FileNotFoundError(msg)
    return found


@contextmanager
def find_scans(path: Path, params: IngestionParams) -> Iterator[Found]:
    """Sort what lies at a path: a volume file, a DICOM file, a folder, or a .zip of any of these.

    Args:
        path: A DICOM file stands for the series of its folder to which it belongs, an .img for the
            .hdr beside it.
        params: `layout` says how a folder, or what is in a .zip, is laid out.

    Yields:
        As `find_cases`. The files of a .zip are there as long as the block runs.

    Raises:
        FileNotFoundError: If nothing is there, or nothing that is a scan.
        BadCase: If a .zip cannot be unpacked.
    """
    path = header_of(path)
    if path.is_dir():
        yield find_cases(path, params)
    elif suffix_of(path):
        if not path.is_file():
            what = "no regular file; give a file" if path.exists() else "no such file"
            msg = f"{path}: {what}; check the path"
            raise FileNotFoundError(msg)
        yield _with_ids(Found([RawCase(stem_of(path), path, None)]))
    elif path.is_file() and zipfile.is_zipfile(path):
        with TemporaryDirectory(prefix="slicefill-zip-") as folder:
            root = Path(folder, path.stem)
            yield _find_cases(_unpack(path, root), params, path, root)
    else:
        yield _series_of(path)


def _with_ids(found: Found) -> Found:
    """Give every case an id of its own; cases of one name are refused."""
    ids = distinct_ids([case.id for case in found.cases])
    cases = [replace(case, id=own) for own, case in zip(ids, found.cases, strict=True)]
    counts = Counter(ids)
    twice = [case for case in cases if counts[case.id] > 1]
    labels = {case.label for case in twice if case.label}
    for error in found.refused:
        (error.case,) = distinct_ids([error.case])
    return Found(
        sorted((case for case in cases if counts[case.id] == 1), key=lambda case: case.id),
        sorted([*found.refused, *map(_duplicate, twice)], key=lambda error: error.case),
        found.left_aside
        + [LeftAside(label, "the label map of a refused image") for label in sorted(labels)],
    )


def _duplicate(case: RawCase) -> BadCase:
    return BadCase(
        expected="one image of a name",
        found=f"several images named {case.id}",
        remedy="rename or remove files; ids are file names without their suffix",
        case=case.id,
        file=case.place,
    )


def _rest(folder: Path, found: Found, layout: str) -> list[LeftAside]:
    """Name all files that are neither used nor refused nor left aside."""
    files, aside = list_files(folder)
    used = {file for case in found.cases for file in case_files(case)}
    refused = {error.file for error in found.refused if error.file}
    known = used | refused | {each.path for each in found.left_aside}
    partners = {file for path in refused if path.is_file() for file in source_files(path)}
    for path in files:
        if path in known:
            continue
        reason = "belongs to a refused file" if path in partners else reason_to_leave(path, layout)
        aside.append(LeftAside(path, reason))
    named = {each.path for each in found.left_aside}
    return [each for each in aside if each.path not in named]


def _content(folder: Path, found: Found) -> str:
    if not folder.is_dir():
        return "no such folder"
    lines = [
        f"{names} ({reason})" for names, reason, _ in group_left_aside(found.left_aside, folder)
    ]
    return "; ".join(lines) or "an empty folder"


def _unpack(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        try:
            archive.extractall(folder)  # drops `..` and absolute paths
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise _bad_zip(path, f"{type(error).__name__}: {error}", _AGAIN) from error
        except (RuntimeError, NotImplementedError, OSError) as error:
            remedy = "unpack it yourself and give the folder"
            raise _bad_zip(path, f"{type(error).__name__}: {error}", remedy) from error
    inside = [each for each in folder.iterdir() if each.name != "__MACOSX"]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _bad_zip(path: Path, found: str, remedy: str) -> BadCase:
    return BadCase(
        expected="a whole .zip without a password, and room for its content",
        found=found,
        remedy=remedy,
        case=path.stem,
        file=path,
    )


def _no_zip(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(600)
    if head.startswith(b"PK"):
        return "one that ends too early: the list of its files is missing"
    found, _ = what_is(head) or ("no archive", "")
    return found


def _series_of(path: Path) -> Found:
    from slicefill.ingestion.dicom_sorting import sort_dicom

    if not path.is_file():
        msg = f"{path}: no such file or folder; check the path"
        raise FileNotFoundError(msg)
    if path.suffix.lower() == ".zip":
        raise _bad_zip(path, _no_zip(path), _AGAIN)
    beside = sorted(each for each in path.parent.iterdir() if each.is_file())
    found = sort_dicom(beside, path.parent)
    cases = [case for case in found.cases if path in source_files(case.image)]
    if not cases:
        reasons = [each.reason for each in found.left_aside if each.path == path]
        kind = reasons[0] if reasons else foreign_kind(path) or "none of them"
        msg = (
            f"{path}: expected a file that ends in {' '.join(VOLUMES)}, a DICOM file with an "
            f"image, a .zip or a folder, found {kind}"
        )
        raise FileNotFoundError(msg)
    return _with_ids(Found(cases, found.refused))
