"""What a process makes once and uses for many cases: a network, loaded and on its device."""

from typing import Any, TypeVar

from slicefill.types import Lazy

T = TypeVar("T")
_HELD: dict[str, Any] = {}


def prepared(promise: Lazy[T]) -> T:
    """Keep a promise once in this process; the last one is held, so that memory is bounded.

    Args:
        promise: Known by its fingerprint, so that copies that came from another process count
            as the same.

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
