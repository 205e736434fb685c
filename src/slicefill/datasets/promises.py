"""Results of promises in a folder: one that fails does not stop the others."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar

from kedro.io import DatasetError

from slicefill.execution.each import run_each
from slicefill.io.storage import Location, read_file, replace_file
from slicefill.params import ExecutorParams
from slicefill.types import Lazy

T = TypeVar("T")


class Grouped(dict[str, Lazy[T]]):
    """Promises by `group/case` that tell their groups, those of which no case is left too.

    Attributes:
        groups: Whose earlier cases these replace.
    """

    def __init__(self, promises: Mapping[str, Lazy[T]], groups: Iterable[str]) -> None:
        """Keep promises with their groups."""
        super().__init__(promises)
        self.groups = tuple(groups)


FAILED = "_failed.json"
WHOLE = "0/1"


def make_each(
    promises: Mapping[str, Lazy[T]],
    save_one: Callable[[str, Lazy[T]], None],
    drop_one: Callable[[str], None],
    record: Location,
    executor: ExecutorParams,
) -> dict[str, str]:
    """Make and save promises with an executor; no result travels between processes.

    Args:
        promises: What is to be saved, by name.
        save_one: Makes and writes a promise.
        drop_one: Removes the file or folder of a name. After a failure it is the result of an
            earlier setting, which must not be taken for this one.
        record: File in the folder that holds the results, where the failures are recorded.
        executor: Each of its workers has one result in memory at a time; the serial executor has
            two where `save_one` can write one while the next is made.

    Returns:
        The reason of each failure, by name.
    """
    # As long as the file says this, a run that was killed does not count as finished.
    replace_json(record, dict.fromkeys(promises, "not finished: the run was stopped"))
    _, failed = run_each(save_one, promises, executor, record.parent.name)
    for name in failed:
        drop_one(name)
    replace_json(record, failed)
    return failed


def read_failures(record: Location) -> dict[str, str]:
    """Return what failed when the folder was last saved to, with the reason."""
    try:
        return dict(json.loads(read_file(record)))
    except FileNotFoundError:
        return {}


def inside(folder: Location, name: str) -> Location:
    """Return the path of a name in a folder.

    Raises:
        DatasetError: If the name leads out of the folder or is hidden.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or not parts.parts or any(p.startswith(".") for p in parts.parts):
        msg = f"{folder}: the name {name!r} must be a relative path without a leading dot in it"
        raise DatasetError(msg)
    return folder / parts


def replace_json(path: Location, content: Any) -> None:
    """Write JSON so that the file is replaced whole or not at all."""
    replace_file(path, json.dumps(content, indent=1).encode())


def shard_of(names: Iterable[str], shard: str) -> list[str]:
    """Return every n-th name, from the k-th on.

    Args:
        names: In the same order for every shard.
        shard: `k/n`, 0 ≤ k < n: the shards 0/n to n-1/n have each name once.

    Raises:
        DatasetError: If it is not of this form, or k is not below n.

    Example:
        >>> shard_of("abcde", "0/2"), shard_of("abcde", "1/2")
        (['a', 'c', 'e'], ['b', 'd'])
    """
    first, _, step = shard.partition("/")
    if not (first.isdecimal() and step.isdecimal() and int(first) < int(step)):
        msg = f"shard: expected k/n with k from 0 to n-1, such as 0/16, got {shard!r}"
        raise DatasetError(msg)
    return list(names)[int(first) :: int(step)]
