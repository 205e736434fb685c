"""A bounded cache: values are made when needed, and the least recently used are dropped."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """Values by name, made when needed; holds as many as fit, all counted as the largest.

    Args:
        load: Makes a value from its name.
        size: Bytes of a value.
        gigabytes: Bound on the memory of all values held; one value is held in any case.

    Example:
        >>> squares = BoundedCache(lambda name: int(name) ** 2, lambda _: 10**9, gigabytes=2)
        >>> squares["3"], squares.room
        (9, 2)
    """

    def __init__(
        self, load: Callable[[str], T], size: Callable[[T], int], gigabytes: float
    ) -> None:
        self._load = load
        self._size = size
        self._bytes = gigabytes * 1e9
        self._held: OrderedDict[str, T] = OrderedDict()
        self._largest = 1  # bytes of the largest value made so far

    def __getitem__(self, name: str) -> T:
        """Return the value of that name; made unless held."""
        if name not in self._held:
            value = self._load(name)
            self._held[name] = value
            self._largest = max(self._largest, self._size(value))
            while len(self._held) > self.room:
                self._held.popitem(last=False)
        self._held.move_to_end(name)
        return self._held[name]

    @property
    def room(self) -> int:
        """How many values as large as the largest made so far fit into memory, at least one."""
        return max(1, int(self._bytes / self._largest))
