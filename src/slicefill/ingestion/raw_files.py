"""The files below a raw folder, and why a file that no layout takes is none of a scan."""

import os
from collections.abc import Iterable
from pathlib import Path

from slicefill.ingestion.found import LeftAside
from slicefill.ingestion.suffixes import DICOM, VOLUMES, is_hidden, suffix_of

_SYSTEM = ("thumbs.db", "desktop.ini", "ehthumbs.db")
_KINDS = {
    "a sidecar of metadata": (".json", ".tsv", ".bval", ".bvec", ".xml", ".yml", ".yaml"),
    "a text, table or document": (".txt", ".md", ".rst", ".csv", ".pdf", ".html", ".log", ".xlsx"),
    "an archive: unpack it": (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar"),
    "a picture": (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"),
    "voxels whose header is not there": (".img", ".raw", ".zraw", ".raw.gz", ".img.gz"),
    "code": (".py", ".sh", ".m", ".ipynb"),
    "an incomplete download": (".part", ".crdownload", ".partial", ".tmp"),
}
_TEXTS = ("readme", "license", "changes", "citation", "version", "changelog", "notice")


def list_files(folder: Path) -> tuple[list[Path], list[LeftAside]]:
    """List the files of a folder and its subfolders, by name; linked folders are followed.

    Returns:
        The files, hidden ones among them; and what is left aside: pipes and devices, and the
        folders that are not entered (hidden ones, those that cannot be read, links to folders that
        have been read).
    """
    if not isinstance(folder, Path):  # an object store has no links and no hidden folders
        return sorted((path for path in folder.rglob("*") if path.is_file()), key=str), []
    files: list[Path] = []
    aside: list[LeftAside] = []
    seen = {os.path.realpath(folder)}

    def leave(error: OSError) -> None:
        reason = f"a folder that cannot be read ({type(error).__name__})"
        aside.append(LeftAside(Path(error.filename), reason))

    for root, folders, names in os.walk(folder, onerror=leave, followlinks=True):
        files += [Path(root, name) for name in names]
        entered = []
        for path in sorted((Path(root, name) for name in folders), key=_links_last):
            reason = "a hidden folder" if is_hidden(path) or path.name == "__MACOSX" else ""
            if os.path.realpath(path) in seen:
                reason = reason or "a link to a folder that is read already"
            if reason:
                aside.append(LeftAside(path, reason))
            else:
                seen.add(os.path.realpath(path))
                entered.append(path.name)
        folders[:] = entered
    pipes = {path for path in files if path.exists() and not path.is_file()}  # reading them waits
    aside += [LeftAside(path, "no regular file (a pipe, socket or device)") for path in pipes]
    return sorted(path for path in files if path not in pipes), aside


def _links_last(path: Path) -> tuple[bool, Path]:
    return path.is_symlink(), path


def volumes(files: Iterable[Path]) -> list[Path]:
    """Keep the files whose names say that they are volumes."""
    return [path for path in files if suffix_of(path) and not is_hidden(path)]


def is_dicom(path: Path) -> bool:
    """Whether a file has the mark of DICOM, whatever it is called."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def foreign_kind(path: Path) -> str:
    """Say what a file is that its name tells to be no scan; "" for others and for DICOM."""
    name = path.name.lower()
    if is_hidden(path):
        return "a hidden file"
    if name.startswith("dicomdir"):
        return "a list of DICOM files (DICOMDIR): give its folder; the files themselves are read"
    if name in _SYSTEM or (name.startswith(_TEXTS) and not suffix_of(path)):
        kind = "a file of the system or about the data"
    else:
        kind = next((kind for kind, ends in _KINDS.items() if name.endswith(ends)), "")
    return "" if kind and is_dicom(path) else kind


def reason_to_leave(path: Path, layout: str) -> str:
    """Say why a file that no case uses and no layout has named is left aside."""
    kind = "" if suffix_of(path) else foreign_kind(path)
    if kind:
        return kind
    if is_hidden(path):
        return "a hidden file"
    if suffix_of(path) or is_dicom(path):
        return (
            f"a scan where the layout {layout} does not look; "
            "ingestion.layout=tree reads the whole folder"
        )
    if path.name.lower().endswith(DICOM):
        return f"no DICOM file by its content, or where the layout {layout} does not look"
    end = path.suffix or "none"
    return f"suffix {end}: not one of {' '.join(VOLUMES)}, and no DICOM file by its content"
