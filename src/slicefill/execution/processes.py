"""The executor that works in processes of this machine, each with its share of the cores."""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, TypeVar

from slicefill.execution.serial import Failure, Outcomes, attempt, pack
from slicefill.params import ExecutorParams

logger = logging.getLogger(__name__)
A = TypeVar("A")
R = TypeVar("R")


def in_processes(
    work: Callable[[str, A], R], items: Mapping[str, A], executor: ExecutorParams
) -> Outcomes:
    """Work on the items in processes.

    Each worker is a pool of its own: when one is lost, its item is known.
    """
    context, count = get_context("spawn"), count_workers(len(items), executor)
    watched, held = context.Pipe(duplex=False)
    new_pool = partial(
        ProcessPoolExecutor, 1, context, _begin_worker, (watched, threads_each(count))
    )
    waiting = deque((name, 1) for name in items)
    idle = [new_pool() for _ in range(count)]
    running: dict[Future[Any], tuple[str, int, ProcessPoolExecutor]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                (name, starts), pool = waiting.popleft(), idle.pop()
                running[pool.submit(pack(work, name, items[name]))] = name, starts, pool
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, starts, pool = running.pop(future)
                lost = isinstance(future.exception(), BrokenProcessPool)
                idle.append(new_pool() if lost else pool)
                if lost and starts < executor.attempts:
                    logger.warning("%s: its worker was lost; started again", name)
                    waiting.appendleft((name, starts + 1))
                else:
                    yield name, _lost(starts) if lost else attempt(future.result)
    finally:
        held.close()  # workers end at once, also in the middle of a case
        for pool in (*idle, *(pool for *_, pool in running.values())):
            pool.shutdown()


def _begin_worker(watched: Connection, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run gets Ctrl-C, and ends its workers
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch and NumPy are loaded, later
    Thread(target=_end_with, args=(watched,), daemon=True).start()


def _end_with(watched: Connection) -> None:
    """End this process when the other end is closed: by the run, or because it was killed."""
    watched.poll(None)
    os._exit(1)


def _lost(starts: int) -> Failure:
    return Failure(
        f"its worker was lost {starts} time(s): killed, perhaps for want of memory; try fewer "
        "executor.workers"
    )


def count_workers(items: int, executor: ExecutorParams) -> int:
    """Return how many workers start: as configured, else one per core; no more than items."""
    return min(executor.workers or _cores(), items)


def threads_each(workers: int) -> int:
    """Return how many cores each worker may use, at least one."""
    return max(1, _cores() // workers)


def _cores() -> int:
    from joblib import cpu_count  # heeds affinity and the limits of a container

    return int(cpu_count())
