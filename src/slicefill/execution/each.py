"""One function is applied to many named items by the configured executor."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, TypeVar

from slicefill.execution.serial import Failure, run_serial
from slicefill.params import ExecutorParams
from slicefill.types import Lazy

logger = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
_HELD: dict[str, Any] = {}  # the last value of `prepared`, by fingerprint


def run_each(
    work: Callable[[str, A], R],
    items: Mapping[str, A],
    executor: ExecutorParams,
    title: str,
    *,
    note: Callable[[str, R | Failure], None] | None = None,
) -> tuple[dict[str, R], dict[str, str]]:
    """Do the work for every item; one that fails does not stop the others.

    Neither results nor their order depend on the executor. Work and items must be picklable
    unless it is `serial`. A worker that is lost (killed, out of memory) is replaced and its item
    started again, at most `executor.attempts` times. When the run is interrupted, its workers end.

    Args:
        work: Called with the name and the item; large results are better written than returned.
            `MakeThenWrite` lets one be written while the next is made.
        items: By name.
        executor: Which executor, and how many workers.
        title: Shown before the progress bar and in messages.
        note: Called with name and outcome of every item as soon as it is known; failures are
            then not logged here.

    Returns:
        Results and, for items that failed, the reason, by name, both in the order of the items.

    Raises:
        ConnectionError: If no scheduler answers at the address.

    Example:
        >>> from slicefill.params import SERIAL
        >>> run_each(lambda name, number: 6 // number, {"a": 3}, SERIAL, "divide")
        ({'a': 2}, {})
    """
    from tqdm.auto import tqdm

    from slicefill.execution.dask import on_dask
    from slicefill.execution.processes import in_processes

    ways = {"serial": run_serial, "processes": in_processes, "dask": on_dask}
    outcomes = (ways[executor.kind] if items else run_serial)(work, items, executor)
    shown = tqdm(outcomes, title, len(items), unit="case", disable=None if note else len(items) < 2)
    done: dict[str, R] = {}
    failed: dict[str, str] = {}
    with closing(outcomes):  # an interruption ends the workers now, not some time later
        for name, outcome in shown:
            if note is not None:
                note(name, outcome)
            elif isinstance(outcome, Failure):
                logger.error("%s: %s failed: %s", title, name, outcome.reason)
                logger.debug("%s", outcome.trace)
            if isinstance(outcome, Failure):
                failed[name] = outcome.reason
            else:
                done[name] = outcome
    return {n: done[n] for n in items if n in done}, {n: failed[n] for n in items if n in failed}


def prepared(promise: Lazy[T]) -> T:
    """Make what many items need, such as a network on its device, once per process.

    The last value is kept, so that memory is bounded.

    Args:
        promise: Identified by its fingerprint: copies from another process count as the same.

    Example:
        >>> network = Lazy(lambda: print("loading") or "network", "6f1e")
        >>> prepared(network), prepared(network)
        loading
        ('network', 'network')
    """
    if promise.fingerprint in _HELD:
        held: T = _HELD[promise.fingerprint]
        return held
    made = promise.make()
    _HELD.clear()
    _HELD[promise.fingerprint] = made
    return made
