"""Runs whose process was killed outright: the next run of the project closes them in MLflow.

A process holds the lock of one file for as long as its run is open, and the system releases the
lock however the process ends. A file whose lock is free therefore belongs to a run that nobody will
close. Neither a host nor a process id is written down, and no id can be another process's by now.
"""

import logging
from pathlib import Path

from filelock import FileLock

from slicefill.tracking.channel import Channel

logger = logging.getLogger(__name__)
_SUFFIX = ".lock"


def hold_lock(channel: Channel, key: str) -> FileLock:
    """Lock the file of a run that opens; `let_go` belongs to its end.

    Args:
        channel: To the run's server.
        key: Of the run.

    Raises:
        OSError, NotImplementedError: If the disk has no locks.
    """
    folder = _folder(channel)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key}{_SUFFIX}", thread_local=False)
    lock.acquire()
    return lock


def let_go(lock: FileLock) -> None:
    """Remove the file of a run that was closed."""
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def close_killed(channel: Channel, time: int) -> None:
    """Close the runs of a server whose process is gone, with the runs nested in them, as KILLED.

    Args:
        channel: To that server.
        time: Now, ms since 1970: when they ended, nobody knows.
    """
    for path in sorted(_folder(channel).glob(f"*{_SUFFIX}")):
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except (OSError, NotImplementedError):  # its process is alive, or a disk has no locks
            continue
        channel.send({"verb": "killed", "run": path.stem, "content": {"time": time}})
        logger.warning("tracking: an earlier run was killed; MLflow shows it as KILLED")
        let_go(lock)


def _folder(channel: Channel) -> Path:
    return channel.outbox.with_name(channel.outbox.stem.replace("outbox", "open", 1))
