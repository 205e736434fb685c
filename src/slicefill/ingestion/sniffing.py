"""What a file is by its first bytes, whatever its name says; and how it is opened."""

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.suffixes import suffix_of

_CHUNK = 1 << 20  # bytes
_HEAD = 600  # bytes: the magic of NIfTI-1 stands at 344
_GZIP, _BZ2 = b"\x1f\x8b", b"BZh"
_GIPL = (b"\xef\xff\xe9\xb0", b"\x2a\xe3\x89\xb8")  # at 252, big endian
_FAMILIES = {
    "NIfTI": (".nii", ".nii.gz", ".nii.bz2", ".hdr"),
    "NRRD": (".nrrd", ".nhdr"),
    "MetaImage": (".mha", ".mhd"),
    "GIPL": (".gipl", ".gipl.gz"),
    "MGH": (".mgh", ".mgz"),
}
_NO_VOLUMES = (  # how a file begins, what it is, what to do
    (b"version https://git-lfs", "a pointer of Git LFS, not the file", "run: git lfs pull"),
    (b"PK\x03\x04", "a .zip archive", "unpack it"),
    (b"\xfd7zXZ", "a file compressed by xz", "decompress it (xz -d) and name it by its format"),
    (b"\x78\x9c", "a bare zlib stream", "decompress it (zlib-flate -uncompress) and name it .nii"),
    (b"Rar!", "a .rar archive", "unpack it"),
    (b"\x89PNG", "a PNG picture", "join the slices of the scan in one NIfTI file"),
    (b"\xff\xd8\xff", "a JPEG picture", "join the slices of the scan in one NIfTI file"),
    (b"II*\0", "a TIFF picture", "convert it to NIfTI with its true voxel size"),
    (b"MM\0*", "a TIFF picture", "convert it to NIfTI with its true voxel size"),
    (b"CDF", "a MINC-1 file", "convert it: mnc2nii IN OUT.nii"),
    (b"\x89HDF", "an HDF5 file (MINC-2, or another)", "convert it (MINC: mnc2nii IN OUT.nii)"),
    (b"\0\5\x16\7", "what macOS keeps beside a file", "remove it; the scan has a name without ._"),
)
_RENAMED = {"NIfTI": ".nii", "NRRD": ".nrrd", "MetaImage": ".mha", "GIPL": ".gipl", "MGH": ".mgh"}


@contextmanager
def open_plain(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file and decompress it if its first bytes are those of gzip or bzip2."""
    with path.open("rb") as raw:
        begin = raw.read(3)
        raw.seek(0)
        if begin[:2] == _GZIP:
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream
        elif begin == _BZ2:
            with bz2.BZ2File(raw) as stream:
                yield stream
        else:
            yield raw


def read_chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    """Yield what a stream holds, to its end; what follows the end of a gzip stream is left.

    Python's gzip compares CRC32 and length (ISIZE) of RFC 1952 and refuses a missing trailer. Other
    bytes behind a whole stream are no damage of it: `gzip -d` passes over them, and so does this.

    Raises:
        OSError, EOFError, zlib.error: If the stream is damaged.
    """
    try:
        while chunk := stream.read1(_CHUNK):
            yield chunk
    except gzip.BadGzipFile as error:
        if not str(error).startswith("Not a gzipped file"):  # said of what follows a whole stream
            raise


def is_compressed(path: Path) -> bool:
    """Whether the first bytes are those of gzip or bzip2."""
    with path.open("rb") as raw:
        begin = raw.read(3)
    return begin[:2] == _GZIP or begin == _BZ2


def check_content(path: Path) -> None:
    """Refuse a file that is something else than its suffix says; damage is for its reader.

    Raises:
        BadCase: With what it is and what helps.
    """
    suffix = suffix_of(path)
    other = _missing(path) if not path.is_file() else None
    if other is None:
        try:
            with open_plain(path) as stream:
                head = stream.read(_HEAD)
        except (OSError, EOFError, zlib.error):
            return
        other = what_is(head) or _renamed(head, suffix, compressed=is_compressed(path))
    if other:
        found, remedy = other
        raise BadCase(expected=f"a whole and readable {suffix} file", found=found, remedy=remedy)


def family_of(head: bytes) -> str:
    """Name the format whose magic bytes are in the first 600; "" if none is recognised."""
    found = {
        "NIfTI": head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"),
        "DICOM": head[128:132] == b"DICM",
        "NRRD": head.startswith(b"NRRD"),
        "MetaImage": head.startswith((b"ObjectType", b"NDims", b"Comment")),
        "GIPL": head[252:256] in _GIPL,
        "MGH": head[:4] == b"\0\0\0\1" and len(head) > 284,
    }
    return next((family for family, is_it in found.items() if is_it), "")


def _missing(path: Path) -> tuple[str, str]:
    if path.exists():
        return "something that is no regular file", "leave it out"
    if path.is_symlink():
        return "a link to nothing", "restore the file that it points to (git annex get?)"
    return "FileNotFoundError: no such file", "check the path, or remove the entry"


def what_is(head: bytes) -> tuple[str, str] | None:
    """Say what a file is that is no volume, by its first bytes, and what to do about it."""
    if not head:
        return "an empty file", "copy or download it again"
    for begin, found, remedy in _NO_VOLUMES:
        if head.startswith(begin):
            return found, remedy
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        remedy = "download it again; a login or the address of the file itself may be missing"
        return "a web page (HTML)", remedy
    if b"annex/objects/" in head[:200]:
        return "a pointer of git-annex", "run: git annex get (or datalad get)"
    if head[:2] == _GZIP or head[:3] == _BZ2:
        return "a file compressed twice", "decompress it once, as gzip -d does"
    return None


def _renamed(head: bytes, suffix: str, *, compressed: bool) -> tuple[str, str] | None:
    """Say which format of volumes a file is that has the suffix of another."""
    family = family_of(head)
    if not family or suffix in _FAMILIES.get(family, ()):
        return None
    if family == "DICOM":
        return "a DICOM file", "give it the suffix .dcm"
    right = _RENAMED[family]
    remedy = f"decompress it and name it {right}" if compressed else f"name it {right}"
    if compressed and f"{right}.gz" in _FAMILIES[family]:
        remedy = f"name it {right}.gz"
    return f"a {family} file", remedy
