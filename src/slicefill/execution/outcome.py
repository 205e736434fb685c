"""Outcome of one item: a result, or the reason of its failure."""

import pickle
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

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
