"""The files that hold one volume: a header and its voxels, or the slices of a series."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import RawCase
from slicefill.ingestion.suffixes import suffix_of

_HEADERS = (".nrrd", ".nhdr", ".mha", ".mhd")
_INLINE = "local"
_MOST_LINES = 1000  # of a header; a damaged file has no end of it


def case_files(raw: RawCase) -> list[Path]:
    """List the files of a scan: those of its image, and of its label map if there is one."""
    return [*source_files(raw.image), *(source_files(raw.label) if raw.label else ())]


def source_files(image: Path | tuple[Path, ...]) -> list[Path]:
    """List the files that hold a volume, its header first."""
    if isinstance(image, tuple):
        return list(image)
    suffix = suffix_of(image)
    if suffix == ".hdr":
        return [image, voxels_of_pair(image)]
    if suffix in _HEADERS:
        try:
            return [image, *data_files(image)]
        except (BadCase, OSError):  # reading says so
            return [image]
    return [image]


def voxels_of_pair(header: Path) -> Path:
    """Return the .img of a .hdr, in the case in which it is written, or the compressed one."""
    names = [header.with_suffix(end) for end in (".img", ".IMG", ".Img", ".img.gz")]
    return next((path for path in names if path.exists()), names[0])


def header_of(voxels: Path) -> Path:
    """Return the .hdr of an .img beside which one lies; any other path as it is."""
    if voxels.suffix.lower() != ".img":
        return voxels
    header = voxels.with_suffix(".hdr")
    return header if header.is_file() else voxels


def check_there(header: Path, voxels: Path) -> None:
    """Refuse a header whose voxels lie in a file of their own that is not there.

    Raises:
        BadCase: With the name of the file, and where it belongs.
    """
    if not voxels.is_file():
        raise BadCase(
            expected=f"voxels in {voxels.name}, as {header.name} says",
            found="no such file",
            remedy=f"put {voxels.name} beside {header.name}, under this very name",
            file=header,
        )


def read_fields(stream: IO[bytes], suffix: str) -> dict[str, str]:
    """Read the text header of an NRRD or MetaImage file, keys in lower case, to its end."""
    last = b"\n" if suffix in (".nrrd", ".nhdr") else b"ElementDataFile"
    fields = {}
    for number, line in enumerate(stream):
        separator = r":=?" if suffix in (".nrrd", ".nhdr") else "="
        key, *value = re.split(separator, line.decode("utf-8", "surrogateescape"), maxsplit=1)
        fields[key.strip().lower()] = value[0].strip() if value else ""
        listed = key.strip().lower() in ("data file", "datafile") and "LIST" in line.decode(
            "latin-1"
        )
        if line.replace(b"\r", b"").startswith(last) or listed or number > _MOST_LINES:
            break
    return fields


def data_files(header: Path) -> list[Path]:
    """List the files of voxels to which an NRRD or MetaImage header points; none if it has them.

    Raises:
        BadCase: If they lie elsewhere, or the header has a pattern or a list of them.
    """
    suffix = suffix_of(header)
    with header.open("rb") as stream:
        fields = read_fields(stream, suffix)
        names = [fields[k] for k in ("elementdatafile", "data file", "datafile") if k in fields]
        if not names or names[0].lower() == _INLINE:
            return []
        listed = list(_listed(stream)) if names[0].upper().startswith("LIST") else names[:1]
    for name in listed:
        pure = PurePosixPath(name)
        if "%" in name or pure.is_absolute() or ".." in pure.parts or not name:
            raise BadCase(
                expected="voxels in the header's file or in a file beside it",
                found=f"a header that points to {name!r}",
                remedy="write the volume as NIfTI, or as one NRRD or MHA file",
            )
    return [header.parent / name for name in listed]


def _listed(stream: IO[bytes]) -> Iterator[str]:
    for line in stream:
        name = line.decode("utf-8", "surrogateescape").strip()
        if name:
            yield name
