"""Outcome of one item, and the serial executor: one case is written while the next is made."""

import pickle
import traceback
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from slicefill.params import ExecutorParams

A = TypeVar("A")


M = TypeVar("M")


R = TypeVar("R")


Outcomes = Generator[tuple[str, Any], None, None]
"""Names with results or failures, in the order in which they finish."""


@dataclass(frozen=True)
class Failure:
    """Why an item failed, as text: not every exception can be pickled.

    Attributes:
        reason: One line, as `ValueError: no luck`.
        trace: The traceback; empty if the worker was lost.
    """

    reason: str
    trace: str = ""


def attempt(work: Callable[[], R]) -> R | Failure:
    """Do the work; return what it raises as a failure, so that other items go on.

    Example:
        >>> attempt(lambda: 6 // 3), attempt(lambda: 6 // 0).reason
        (2, 'ZeroDivisionError: integer division or modulo by zero')
    """
    try:
        return work()
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def pack(work: Callable[[str, Any], R], name: str, item: Any) -> Callable[[], R | Failure]:
    """Return what a worker calls; an item that cannot be pickled or unpickled fails alone."""
    return partial(_attempt_packed, attempt(partial(pickle.dumps, (work, name, item))))


def _attempt_packed(packed: bytes | Failure) -> Any:
    return packed if isinstance(packed, Failure) else attempt(partial(_unpack, packed))


def _unpack(packed: bytes) -> Any:
    work, name, item = pickle.loads(packed)
    return work(name, item)


@dataclass(frozen=True)
class MakeThenWrite(Generic[A, M, R]):
    """Work in two steps, of which the second mostly waits: for compression and for the disk.

    The serial executor writes one item while it makes the next. Workers, of which there are
    several, take one step after the other.

    Attributes:
        make: Called with the name and the item.
        write: Called with the name and what was made, for one item at a time, possibly in another
            thread.

    Example:
        >>> MakeThenWrite(lambda name, n: 2 * n, lambda name, made: f"{name}: {made}")("a", 3)
        'a: 6'
    """

    make: Callable[[str, A], M]
    write: Callable[[str, M], R]

    def __call__(self, name: str, item: A) -> R:
        """Take one step after the other."""
        return self.write(name, self.make(name, item))


def run_serial(
    work: Callable[[str, A], Any], items: Mapping[str, A], _: ExecutorParams
) -> Outcomes:
    """Work on one item after the other, in their order."""
    if isinstance(work, MakeThenWrite):
        yield from _overlapped(work, items)
    else:
        for name, item in items.items():
            yield name, attempt(partial(work, name, item))


def _overlapped(work: MakeThenWrite[A, Any, Any], items: Mapping[str, A]) -> Outcomes:
    """Hold at most two made items in memory: one that is being written, and the next.

    Whatever ends the run, an interruption too, first waits for the one that is being written.
    """
    writing: tuple[str, Future[Any]] | None = None
    with ThreadPoolExecutor(1, "write") as writer:
        for name, item in items.items():
            made = attempt(partial(work.make, name, item))
            if writing:
                yield writing[0], writing[1].result()
            writing = name, writer.submit(_write, work, name, made)
            del made  # the writer alone holds it, and lets go of it when it is written
        if writing:
            yield writing[0], writing[1].result()


def _write(work: MakeThenWrite[A, M, R], name: str, made: M | Failure) -> R | Failure:
    return made if isinstance(made, Failure) else attempt(partial(work.write, name, made))
