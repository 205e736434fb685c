"""One function over many named items, on the executor of the configuration."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TypeVar

from slicefill.execution.in_turn import in_turn
from slicefill.execution.outcome import Failure
from slicefill.params import ExecutorParams

logger = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")


def run_each(
    work: Callable[[str, A], R], items: Mapping[str, A], executor: ExecutorParams, title: str
) -> tuple[dict[str, R], dict[str, str]]:
    """Do the work for every item; one that fails does not stop the others.

    Results do not depend on the executor, nor does their order. Whatever goes through it must
    be picklable, unless it is `serial`. A worker that is lost (killed, out of memory) is replaced
    and its item started again, at most `executor.attempts` times. When the run is interrupted,
    the workers go with it.

    Args:
        work: Called with the name and the item; large results are better written than returned.
            `MakeThenWrite` lets one be written while the next is made.
        items: By name.
        executor: Where.
        title: Stands before the progress bar and in messages.

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

    ways = {"serial": in_turn, "processes": in_processes, "dask": on_dask}
    outcomes = (ways[executor.kind] if items else in_turn)(work, items, executor)
    shown = tqdm(outcomes, title, len(items), unit="case", disable=len(items) < 2)
    done: dict[str, R] = {}
    failed: dict[str, str] = {}
    with closing(outcomes):  # an interruption ends the workers now, not some time later
        for name, outcome in shown:
            if isinstance(outcome, Failure):
                told = f"{outcome.reason}\n{outcome.trace}".strip()
                logger.error("%s: %s failed: %s", title, name, told)
                failed[name] = outcome.reason
            else:
                done[name] = outcome
    return {n: done[n] for n in items if n in done}, {n: failed[n] for n in items if n in failed}
