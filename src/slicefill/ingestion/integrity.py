"""Checks for damage that nibabel and ITK ignore: checksums and lengths; checksums of files."""

import gzip
import hashlib
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.companions import data_files, read_fields
from slicefill.ingestion.sniffing import is_compressed, open_plain
from slicefill.ingestion.suffixes import suffix_of

_CHUNK = 1 << 20


def uncompressed_length(path: Path) -> int:
    """Count the bytes of a file after decompressing it to its very end, if it is compressed.

    Python's gzip compares CRC32 and length (ISIZE) of RFC 1952 and refuses a missing trailer
    or anything but zero padding behind it; nibabel and ITK stop when they have their voxels.

    Raises:
        OSError, EOFError, zlib.error: If the stream is damaged.
    """
    if not is_compressed(path):
        return path.stat().st_size
    with open_plain(path) as stream:
        return _drain(stream)


def check_length(available: int, needed: int) -> None:
    """Refuse a file that is shorter than its header says, both in bytes."""
    if available < needed:
        raise BadCase(
            expected=f"{needed} bytes of header and voxels",
            found=f"{available}",
            remedy="the file is truncated: copy or export it again",
        )


def check_nrrd(path: Path) -> None:
    """Check the gzip stream of an NRRD volume; ITK does not compare its checksum."""
    with path.open("rb") as stream:
        encoding = read_fields(stream, suffix_of(path)).get("encoding", "").lower()
        files = data_files(path)
        if encoding in ("gzip", "gz") and not files:
            _drain(gzip.GzipFile(fileobj=stream))
    for file in files if encoding in ("gzip", "gz") else []:
        with gzip.open(file) as voxels:
            _drain(voxels)


def check_metaimage(path: Path) -> None:
    """Check the zlib stream of a MetaImage; ITK prints its damage and returns wrong voxels."""
    with path.open("rb") as stream:
        compressed = read_fields(stream, suffix_of(path)).get("compresseddata", "").lower()
        files = data_files(path)
        if compressed == "true" and not files:
            _inflate(stream)
    for file in files:
        with file.open("rb") as voxels:
            if compressed == "true":
                _inflate(voxels)


def _inflate(stream: IO[bytes]) -> None:
    inflate = zlib.decompressobj()
    for chunk in iter(lambda: stream.read(_CHUNK), b""):
        inflate.decompress(chunk)
    if not inflate.eof:
        msg = "the zlib stream ends before its checksum"
        raise EOFError(msg)


def checksum(files: list[Path]) -> str:
    """Return the SHA-256 of one file; of several, that of their sorted checksums."""
    checksums = []
    for path in files:
        with path.open("rb") as stream:
            checksums.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("".join(sorted(checksums)).encode()).hexdigest()


def _drain(stream: IO[bytes] | BufferedIOBase) -> int:
    return sum(len(chunk) for chunk in iter(lambda: stream.read(_CHUNK), b""))
