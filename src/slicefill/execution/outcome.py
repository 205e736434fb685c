"""What comes of one item: a result, or why there is none."""

import pickle
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

R = TypeVar("R")
Outcomes = Generator[tuple[str, Any], None, None]
"""Name and result, or `Failure`, as they come."""


@dataclass(frozen=True)
class Failure:
    """Why an item came to nothing, in words: not every exception survives the way back.

    Attributes:
        reason: One line, as `ValueError: no luck`.
        trace: Where it happened; empty where nobody lived to tell.
    """

    reason: str
    trace: str = ""


def attempt(work: Callable[[], R]) -> R | Failure:
    """Do the work; whatever it raises, the other items go on.

    Example:
        >>> attempt(lambda: 6 // 3), attempt(lambda: 6 // 0).reason
        (2, 'ZeroDivisionError: integer division or modulo by zero')
    """
    try:
        return work()
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def pack(work: Callable[[str, Any], R], name: str, item: Any) -> Callable[[], R | Failure]:
    """Return what a worker calls: an item that cannot be sent, or read there, fails alone."""
    return partial(_attempt_packed, attempt(partial(pickle.dumps, (work, name, item))))


def _attempt_packed(packed: bytes | Failure) -> Any:
    return packed if isinstance(packed, Failure) else attempt(partial(_unpack, packed))


def _unpack(packed: bytes) -> Any:
    work, name, item = pickle.loads(packed)
    return work(name, item)
