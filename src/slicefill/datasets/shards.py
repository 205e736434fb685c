"""A shard of the cases, where several runs impute one folder together."""

from collections.abc import Iterable

from kedro.io import DatasetError

WHOLE = "0/1"


def shard_of(names: Iterable[str], shard: str) -> list[str]:
    """Return every n-th name, from the k-th on.

    Args:
        names: In the same order for every shard.
        shard: `k/n`, 0 ≤ k < n: the shards 0/n to n-1/n have each name once.

    Raises:
        DatasetError: If it is no shard.

    Example:
        >>> shard_of("abcde", "0/2"), shard_of("abcde", "1/2")
        (['a', 'c', 'e'], ['b', 'd'])
    """
    first, _, step = shard.partition("/")
    if not (first.isdecimal() and step.isdecimal() and int(first) < int(step)):
        msg = f"shard: expected k/n with k from 0 to n-1, such as 0/16, got {shard!r}"
        raise DatasetError(msg)
    return list(names)[int(first) :: int(step)]
