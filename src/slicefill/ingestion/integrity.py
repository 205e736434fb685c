"""Checks for damage that nibabel and ITK ignore: checksums and lengths; checksums of files."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.companions import check_there, data_files, read_fields
from slicefill.ingestion.sniffing import is_compressed, open_plain, read_chunks
from slicefill.ingestion.suffixes import suffix_of

_ENCODINGS = {
    **{"raw": "raw", "gz": "gzip", "gzip": "gzip", "hex": "hex", "bz2": "bzip2", "bzip2": "bzip2"},
    **dict.fromkeys(("ascii", "text", "txt"), "text"),
}
"""Of NRRD, by how the format names them."""


def uncompressed_length(path: Path) -> int:
    """Count the bytes of a file after decompressing it to its very end, if it is compressed.

    nibabel and ITK stop when they have their voxels, and compare no checksum.

    Raises:
        OSError, EOFError, zlib.error: If the stream is damaged.
    """
    if not is_compressed(path):
        return path.stat().st_size
    with open_plain(path) as stream:
        return _drain(stream)


def check_length(available: int, needed: int, of: str = "bytes of header and voxels") -> None:
    """Refuse a file that is shorter than its header says, both in the same unit."""
    if available < needed:
        raise BadCase(
            expected=f"{needed} {of}",
            found=f"{available}",
            remedy="the file is truncated: copy or export it again",
        )


def count_voxel_data(path: Path) -> tuple[int, Literal["bytes", "numbers"]] | None:
    """Count the data of an NRRD or MetaImage volume to their very end: bytes, or numbers of a text.

    ITK does not compare the checksum of gzip, and prints the damage of zlib and goes on.

    Returns:
        How many, of what; None where they do not tell the number of voxels (a part is skipped).

    Raises:
        BadCase: If a file of voxels is not there, or packed as ITK cannot read it.
        OSError, EOFError, zlib.error: If a stream is damaged.
    """
    with path.open("rb") as stream:
        fields = read_fields(stream, suffix_of(path))
        packing = _packing(fields)
        count = _COUNTS.get(packing)
        files = data_files(path)
        for file in files:
            check_there(path, file)
        if count is None:
            return None
        unit: Literal["bytes", "numbers"] = "numbers" if packing == "text" else "bytes"
        if not files:
            return count(stream), unit
    total = 0
    for file in files:
        with file.open("rb") as voxels:
            total += count(voxels)
    return total, unit


def _packing(fields: Mapping[str, str]) -> str:
    """How the voxels behind a header are packed: a key of `_COUNTS`, or "" for others."""
    if "encoding" in fields:
        skips = any(fields.get(name, "0") != "0" for name in ("line skip", "byte skip"))
        packing = _ENCODINGS.get(fields["encoding"].lower(), "")
        if packing == "bzip2":
            raise BadCase(
                expected="voxels that ITK reads: encoding raw, gzip, hex or ascii",
                found="encoding bzip2",
                remedy="write the volume with encoding gzip (unu save -e gzip -f nrrd)",
            )
        return "" if skips and packing != "gzip" else packing
    if fields.get("compresseddata", "").lower() == "true":
        return "zlib"
    if fields.get("headersize", "0") != "0":
        return ""
    return "raw" if fields.get("binarydata", "true").lower() == "true" else "text"


def _gunzip(stream: BufferedIOBase) -> int:
    return _drain(gzip.GzipFile(fileobj=stream))


def _inflate(stream: BufferedIOBase) -> int:
    inflate = zlib.decompressobj()
    count = sum(len(inflate.decompress(chunk)) for chunk in read_chunks(stream))
    if not inflate.eof:
        msg = "the zlib stream ends before its checksum"
        raise EOFError(msg)
    return count


def _rest(stream: BufferedIOBase) -> int:
    return os.fstat(stream.fileno()).st_size - stream.tell()


def _count_numbers(stream: BufferedIOBase) -> int:
    return sum(len(line.split()) for line in stream)


def _count_hex(stream: BufferedIOBase) -> int:
    return sum(len(b"".join(chunk.split())) for chunk in read_chunks(stream)) // 2


_COUNTS: dict[str, Callable[[BufferedIOBase], int]] = {
    "gzip": _gunzip,
    "zlib": _inflate,
    "raw": _rest,
    "text": _count_numbers,
    "hex": _count_hex,
}


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
    return sum(len(chunk) for chunk in read_chunks(stream))
