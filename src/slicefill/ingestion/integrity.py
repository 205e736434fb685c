"""Checks for damage that nibabel and ITK ignore: checksums and lengths; checksums of files."""

import gzip
import hashlib
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from slicefill.ingestion.checks import BadCase

_CHUNK = 1 << 20


def uncompressed_length(path: Path) -> int:
    """Count the bytes of a file, of a `.gz` file after decompressing it to its very end.

    Python's gzip compares CRC32 and length (ISIZE) of RFC 1952 and refuses a missing trailer
    or anything but zero padding behind it; nibabel and ITK stop when they have their voxels.

    Raises:
        OSError, EOFError, zlib.error: If the stream is damaged.
    """
    if path.suffix != ".gz":
        return path.stat().st_size
    with gzip.open(path) as stream:
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
    """Check the gzip stream of an NRRD file; ITK does not compare its checksum."""
    with path.open("rb") as stream:
        fields = _header(stream, last=b"\n")
        if "data file" in fields or "datafile" in fields:
            _refuse_detached()
        if fields.get("encoding") in ("gzip", "gz"):
            _drain(gzip.GzipFile(fileobj=stream))


def check_mha(path: Path) -> None:
    """Check the zlib stream of an MHA file; ITK prints its damage and returns wrong voxels."""
    with path.open("rb") as stream:
        fields = _header(stream, last=b"ElementDataFile")
        if fields.get("elementdatafile") != "local":
            _refuse_detached()
        if fields.get("compresseddata") == "true":
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


def _drain(stream: BufferedIOBase) -> int:
    return sum(len(chunk) for chunk in iter(lambda: stream.read(_CHUNK), b""))


def _header(stream: IO[bytes], last: bytes) -> dict[str, str]:
    fields = {}
    for line in stream:
        key, _, value = line.decode("latin-1").replace("=", ":", 1).partition(":")
        fields[key.strip().lower()] = value.strip().lower()
        if line.replace(b"\r", b"").startswith(last):
            break
    return fields


def _refuse_detached() -> None:
    raise BadCase(
        expected="header and voxels in one file",
        found="a header that points to another file",
        remedy="write the volume as NIfTI, or as one NRRD or MHA file",
    )
