"""How many workers, and how many threads each: together no more than there are cores."""

from slicefill.params import ExecutorParams


def count_workers(items: int, executor: ExecutorParams) -> int:
    """Workers of this machine: as configured, else one per core; no more than items."""
    return min(executor.workers or _cores(), items)


def threads_each(workers: int) -> int:
    """Share of the cores that each worker may use, at least one."""
    return max(1, _cores() // workers)


def _cores() -> int:
    from dask.system import CPU_COUNT  # heeds affinity and the limits of a container

    return int(CPU_COUNT)
