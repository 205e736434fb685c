"""Runs and the runs nested in them: opened, found again, closed."""

import atexit
import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicefill.tracking.calls import EXPERIMENT, known_id
from slicefill.tracking.channel import Channel, without_password
from slicefill.tracking.killed import close_killed, hold_lock, let_go
from slicefill.tracking.shelf import Shelf
from slicefill.training.ranks import machine_rank

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger(__name__)
_SETTINGS = {  # by default MLflow waits for minutes before it reports that a server is away
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the outbox sends it later
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class TrackedRun:
    """A run; can be pickled and used in another process.

    Attributes:
        channel: To its server.
        key: Identifies the run before the server has given it an id.
        tags: What nested runs inherit.
    """

    channel: Channel
    key: str
    tags: Mapping[str, str]

    def send(self, verb: str, **content: Any) -> None:
        """Send a call about this run, now or when the server is back."""
        call = {"verb": verb, "run": self.key, "content": content}
        if _shelf:
            _shelf[0].put(self.channel, call)
        else:
            self.channel.send(call)


_LOCAL = "http://127.0.0.1:5000"  # where `make mlflow` serves
_TRAININGS = "workflowType=machine_learning"  # without it MLflow shows a page on language models
_open: list[TrackedRun] = []  # the run that is logged to, last, and those that it is nested in
_children: dict[tuple[str, str], TrackedRun] = {}  # nested runs by parent's key and name
_failed: set[str] = set()  # keys of nested runs that have ended
_monitors: list[Any] = []  # of the machine: threads of MLflow
_locks: list["FileLock"] = []  # of the open run, by which the next one knows that it lives
_shelf: list[Shelf] = []  # at most one, as long as the open run has made nothing


def current_run() -> TrackedRun | None:
    """Return the run that is logged to, if one is open."""
    return _open[-1] if _open else None


def store_uri(project: Path) -> str:
    """Return the address of the store: `MLFLOW_TRACKING_URI`, or else the project's database."""
    database = project / "data" / "mlflow" / "mlflow.db"
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database}"


def start_run(
    project: Path, name: str, tags: Mapping[str, str], *, hold: bool = False
) -> str | None:
    """Open a run, after sending the outbox of earlier runs and closing those that were killed.

    Args:
        project: Its `data/mlflow` holds the outbox, and the store unless
            `MLFLOW_TRACKING_URI` names another.
        name: As it stands in the table of runs.
        tags: Of the run; those without a dot in their name go to nested runs too.
        hold: Hold everything back until `made` is called: a run that makes nothing is not tracked.

    Returns:
        MLflow's id of the run, or our key as long as the server is away; None when tracking is
        off, and on every machine of a training but the first.
    """
    if os.environ.get("SLICEFILL_TRACKING") == "off" or machine_rank() > 0:
        return None
    folder = project / "data" / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    # The client of a process that was killed, and of every child, must find the same store.
    uri = os.environ["MLFLOW_TRACKING_URI"] = store_uri(project)
    for setting, value in _SETTINGS.items():
        os.environ.setdefault(setting, value)
    for talkative in ("alembic", "mlflow.pyfunc", "mlflow.store.db.utils"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    channel = Channel(uri, folder)
    channel.retry_now()
    close_killed(channel, _now())
    inherited = {key: value for key, value in tags.items() if "." not in key}
    run = TrackedRun(channel, uuid.uuid4().hex, inherited)
    _shelf.extend([Shelf()] if hold else [])
    _create(run, name, {**_who(), **tags})
    _open.append(run)
    if not hold:
        _track(run)
    return known_id(run.key) or run.key


def tell_store() -> str:
    """Say how to look at the open run; empty without one."""
    if not _open:
        return ""
    if _shelf:
        return "no run: nothing was made anew"
    uri, number = without_password(_open[0].channel.uri), known_id(EXPERIMENT)
    page = f"/#/experiments/{number}?{_TRAININGS}" if number else ""
    return f"make mlflow, then {_LOCAL}{page}" if uri.startswith("sqlite:") else f"{uri}{page}"


def made() -> None:
    """Say that the open run has made something: from now on it is tracked."""
    if _shelf:
        _shelf.pop().clear(send=True)
        _track(_open[0])


def end_run(status: str) -> None:
    """Close the open run, and what is nested in it and has not failed.

    Args:
        status: FINISHED, FAILED or KILLED. A run that made nothing is tracked only if it failed.
    """
    if not _open:
        return
    if status == "FAILED":
        made()
    if _shelf:
        _shelf.pop().clear(send=False)
    else:
        _close(status)
    for state in (_children, _open, _failed, _monitors, _locks):
        state.clear()


def _close(status: str) -> None:
    for monitor in _monitors:
        monitor.finish()
    channel = _open[0].channel
    channel.retry_now()
    for run in (*_children.values(), *reversed(_open)):
        if run.key not in _failed:
            run.send("end", status=status, time=_now())
            _failed.add(run.key)
    for lock in _locks:
        let_go(lock)
    if channel.outbox.exists():
        logger.warning(
            "tracking: the server has not come back; what it missed is in %s and is sent when "
            "the next run of this project starts with the same MLFLOW_TRACKING_URI",
            channel.outbox,
        )


atexit.register(end_run, "KILLED")  # Kedro tells no hook of Ctrl-C, nor of a hook that fails


@contextmanager
def child_run(name: str) -> Iterator[None]:
    """Log to a run nested under the open one, inside the `with` block.

    The name opens the same nested run again for as long as the parent is open; it ends with its
    parent. An exception ends it as FAILED, for good. Without an open run nothing happens.
    """
    parent = current_run()
    if parent is None:
        yield
        return
    run = _nested(parent, name)
    _open.append(run)
    try:
        yield
    except BaseException:
        run.send("end", status="FAILED", time=_now())
        _failed.add(run.key)
        raise
    finally:
        if run in _open:  # not if the parent ended inside
            _open.remove(run)


def _nested(parent: TrackedRun, name: str) -> TrackedRun:
    if (parent.key, name) not in _children:
        run = TrackedRun(parent.channel, uuid.uuid4().hex, {**parent.tags, "method": name})
        _create(run, name, run.tags, parent)
        _children[parent.key, name] = run
    return _children[parent.key, name]


def _create(
    run: TrackedRun, name: str, tags: Mapping[str, str], parent: TrackedRun | None = None
) -> None:
    served = run.channel.uri.startswith(("http:", "https:"))
    run.send(
        "create",
        name=name,
        tags=dict(tags),
        time=_now(),
        parent=parent.key if parent else None,
        # A server has its own place for files; a store that is a database needs one named.
        location=None if served else (run.channel.folder / "artifacts").as_uri(),
    )


def _who() -> dict[str, str]:
    from mlflow.tracking.context.registry import resolve_tags

    return {key: value for key, value in resolve_tags().items() if key == "mlflow.user"}


def _track(run: TrackedRun) -> None:
    """Watch over a run that the server knows."""
    with suppress(OSError, NotImplementedError):  # without it, nobody tells if it was killed
        _locks.append(hold_lock(run.channel, run.key))
    _watch_system(run)


def _watch_system(run: TrackedRun) -> None:
    """Log load and memory of the machine, if MLflow's own variable asks for it."""
    number = known_id(run.key)
    if number and os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "").lower() == "true":
        from mlflow.system_metrics import system_metrics_monitor

        monitoring: Any = system_metrics_monitor  # it has no type hints
        _monitors.append(monitoring.SystemMetricsMonitor(number, tracking_uri=run.channel.uri))
        _monitors[-1].start()


def _now() -> int:
    return int(time.time() * 1000)
