"""Memory that one batch frees stays with this process, for the next batch."""

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them
_KEPT = 2**27  # bytes that may lie free at the end of the heap
_LARGE = 2**26  # bytes from which on an array goes back to the system as soon as it is freed


@cache
def keep_freed_memory() -> None:
    """Raise two limits of the allocator in this process; without glibc nothing happens.

    Batches of slices need the same tens of megabytes again and again. Given back in between, they
    are cleared and mapped anew by the system each time, page by page.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; Windows has no such name
        return
    mallopt(_MMAP_THRESHOLD, _LARGE)
    mallopt(_TRIM_THRESHOLD, _KEPT)
