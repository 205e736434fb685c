"""Files and folders that appear whole or not at all, on a disk and in an object store.

A disk renames: what is new is written beside the old and takes its place in one step. An object
store (`s3://…`) cannot rename, but an upload appears only when it is complete; a folder is whole
there once its marker, the file that is written last, exists.
"""

import errno
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from upath import UPath

_PARTIAL = ".partial"
_TAGGED = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.partial", re.DOTALL
)
Location = Path | UPath
"""A path on a disk, or a URL that fsspec knows; both behave as `pathlib.Path`."""


def location(path: str | Location) -> UPath:
    """Return a path on a disk, or a place in an object store such as `s3://bucket/folder`.

    What a store lists is never kept in memory: other processes write there too.
    """
    place = UPath(path)
    return place if isinstance(place, Path) else UPath(place, use_listings_cache=False)


def read_file(path: Location) -> bytes:
    """Return the bytes of a file; of an object, in one request.

    Raises:
        FileNotFoundError: If there is none.
    """
    if isinstance(path, Path):
        return path.read_bytes()
    content: bytes = path.fs.cat_file(path.path)
    return content


def replace_file(path: Location, content: bytes) -> None:
    """Write a file whole or not at all, also when killed; folders are made as needed."""
    if not isinstance(path, Path):
        path.fs.pipe_file(path.path, content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        _write_through(partial, content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_folder_beside(path: Path) -> Iterator[Path]:
    """Yield a folder beside a file, in which its new content is written; it is removed after."""
    folder = _beside(path)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def replace_folder(folder: Location, files: Mapping[str, Callable[[], bytes]]) -> None:
    """Write a folder of files whole or not at all.

    Several processes may write the same folder at the same time, as a worker that was taken for
    lost and the one that took its place: the last one counts.

    Args:
        folder: Replaced whole. On a disk the old one stays until the new one is complete; in an
            object store it counts no more from the first moment.
        files: Name and content, made when its turn comes; the last one is the marker.
    """
    if isinstance(folder, Path):
        _replace_on_disk(folder, files)
        return
    if folder.exists():
        *_, marker = files
        stored = {key.rpartition("/")[2]: key for key in folder.fs.find(folder.path)}
        stale = [name for name in stored if name not in files]  # others may be a second writer's
        for name in (marker, *stale):  # without the marker first, the rest counts as none
            if name in stored:
                folder.fs.rm_file(stored[name])
    for name, make in files.items():
        replace_file(folder / name, make())


def _replace_on_disk(folder: Path, files: Mapping[str, Callable[[], bytes]]) -> None:
    partial = _beside(folder)
    partial.mkdir(parents=True)
    try:
        for name, make in files.items():
            _write_through(partial / name, make())
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(new: Path, folder: Path) -> None:
    """Let the old folder step aside first: one that is not empty cannot be renamed over."""
    while True:
        old = _beside(folder)
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            new.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise  # otherwise another process has put its own there in between
        finally:
            shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(paths: Iterable[Location]) -> None:
    """Remove what killed processes left beside these files or folders; lists each parent once."""
    written = {path for path in paths if isinstance(path, Path)}
    for parent in {path.parent for path in written}:
        for left in parent.glob(f".*{_PARTIAL}"):
            name = left.name[1:].removesuffix(_PARTIAL).rpartition(".")[0]
            if parent / name not in written:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def remove_unfinished(folder: Path, name: str | None = None) -> int:
    """Remove what processes that no longer live left half written in a folder; how many.

    What a process of another machine or container writes is left: whether it lives is not known.

    Args:
        folder: On a disk; it need not exist.
        name: Of the one output whose leftovers are meant; None: of all.
    """
    count = 0
    for left in list(folder.glob(f".*{_PARTIAL}")):
        found = _TAGGED.fullmatch(left.name)
        if not found or found["machine"] != _machine() or name not in (None, found["name"]):
            continue
        if not _lives(int(found["process"])):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
            count += 1
    return count


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


@cache
def _machine() -> str:
    """Eight digits that stand for this machine or container, in which process ids are unique."""
    space = ""
    with suppress(OSError):  # where there are no such spaces, or they are not told
        space = str(Path("/proc/self/ns/pid").readlink())
    return sha256(f"{platform.node()}{space}".encode()).hexdigest()[:8]


def remove_folder(folder: Location, marker: str) -> None:
    """Remove a folder if there is one: its marker first, so that half of it counts as none."""
    if not folder.exists():
        return
    (folder / marker).unlink(missing_ok=True)
    if isinstance(folder, Path):
        shutil.rmtree(folder)
    else:
        folder.rmdir(recursive=True)


def _beside(path: Path) -> Path:
    """Name of its own for what is not complete: several processes may write one path."""
    tag = f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"
    return path.with_name(f".{path.name}.{tag}{_PARTIAL}")


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
