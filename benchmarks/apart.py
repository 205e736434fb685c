"""Measurements in processes of their own, so that they do not influence each other."""

import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

Numbers = dict[str, Any]
R = TypeVar("R")


def apart(task: Callable[..., R], *arguments: Any) -> R:
    """Run a task in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


def median_run(runs: Sequence[Numbers]) -> Numbers:
    """Return the complete run of median duration, so that its parts add up."""
    return sorted(runs, key=lambda run: run["seconds"])[(len(runs) - 1) // 2]


def peak_memory() -> float:
    """Return the largest resident set of this process so far, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage counts the process that started this one too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024.0 * int(line.split()[1])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # macOS: in bytes
