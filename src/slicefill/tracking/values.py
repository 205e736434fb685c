"""Parameters, metrics and files of a run."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from slicefill.tracking.runs import TrackedRun, current_run, made

if TYPE_CHECKING:
    import pandas as pd


_LONGEST = 500  # characters of a parameter that MLflow stores
_MOST = 100  # parameters in one call
_REFUSED = re.compile(r"[^\w\-./: ]")  # characters in names of metrics, as in `edema (T2)`


def log_params(params: Mapping[str, Any]) -> None:
    """Log nested parameters under dotted names."""
    run = current_run()
    if run is not None:
        flat = [(key, str(value)[:_LONGEST]) for key, value in flatten(params).items()]
        for start in range(0, len(flat), _MOST):
            run.send("params", params=flat[start : start + _MOST])


def log_metrics(metrics: Mapping[str, float], step: int = 0) -> None:
    """Log the metrics of one step."""
    run = current_run()
    if run is not None and metrics:
        _log_step(run, "", metrics, step)


def reporter(prefix: str = "") -> Callable[[Mapping[str, float], int], None]:
    """Return a function that logs the metrics of a step to the run that is open now.

    It can be pickled, so that a process started for a training logs to the run of its parent.
    Whoever asks for one is about to make something: from now on the run is tracked.

    Args:
        prefix: Put before every name.
    """
    made()
    run = current_run()
    return _ignore if run is None else partial(_log_step, run, prefix)


def _log_step(run: TrackedRun, prefix: str, metrics: Mapping[str, float], step: int) -> None:
    now = int(time.time() * 1000)
    named = [
        (_REFUSED.sub("_", f"{prefix}{name}"), float(value), now, step)
        for name, value in metrics.items()
    ]
    run.send("metrics", metrics=named)


def _ignore(metrics: Mapping[str, float], step: int) -> None:
    """Stand in where nothing is tracked."""


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name nested parameters by their dotted path.

    Example:
        >>> flatten({"a": {"b": 1}, "c": 2})
        {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def log_artifact(path: Path, folder: str | None = None) -> None:
    """Copy a file, or a folder under its name, into the run.

    Args:
        path: What is copied.
        folder: Where it lies among the run's artifacts; at the top if omitted.

    Raises:
        FileNotFoundError: If there is nothing at the path, and a run is open.
    """
    run = current_run()
    if run is None:
        return
    if not path.exists():
        msg = f"{path}: expected a file or a folder to log, found nothing"
        raise FileNotFoundError(msg)
    if path.is_dir():
        folder = "/".join(filter(None, (folder, path.name)))
    run.send("artifact", path=str(path), folder=folder)


def log_table(table: "pd.DataFrame", name: str) -> None:
    """Log a table as the artifact `<name>.csv`; the name may hold slashes."""
    with _written(name.rpartition("/")[2] + ".csv") as path:
        table.to_csv(path, index=False)
        log_artifact(path, name.rpartition("/")[0] or None)


def log_text(text: str, name: str) -> None:
    """Log a text as an artifact; the name may hold slashes."""
    with _written(name.rpartition("/")[2]) as path:
        path.write_text(text)
        log_artifact(path, name.rpartition("/")[0] or None)


@contextmanager
def _written(name: str) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder, name)
