"""MLflow, addressed by run id; heavy imports wait until a run starts.

`SLICEFILL_TRACKING=off` switches it off. `MLFLOW_TRACKING_URI` names a server; without it the
store is `data/mlflow/mlflow.db` under the project.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)
_EXPERIMENT = "slicefill"
_LONGEST = 500  # characters of a parameter that MLflow stores
_current: list[str] = []  # ids of the run that is logged to, last, and of those it is nested in
_children: dict[tuple[str, str], str] = {}  # id of a nested run by parent and name


@cache
def _client(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(uri)


def start_run(project: Path, name: str, tags: Mapping[str, str]) -> str | None:
    """Open a run and return its id; None when tracking is off."""
    if os.environ.get("SLICEFILL_TRACKING") == "off":
        return None
    folder = project / "data" / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    # The client of a process that was killed, and of every child, must find the same store.
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    client = _client(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name(_EXPERIMENT)
    if experiment is None:
        location = (folder / "artifacts").as_uri()
        experiment_id = client.create_experiment(_EXPERIMENT, artifact_location=location)
    else:
        experiment_id = experiment.experiment_id
    run = client.create_run(experiment_id, run_name=name, tags=dict(tags))
    _current.append(run.info.run_id)
    return str(run.info.run_id)


def end_run(status: str) -> None:
    """Close the open run, and what is nested in it and has not failed, as FINISHED or FAILED."""
    for run in {*_children.values(), *_current}:
        if _open_client().get_run(run).info.status == "RUNNING":
            _open_client().set_terminated(run, status)
    _children.clear()
    _current.clear()


@contextmanager
def child_run(name: str) -> Iterator[None]:
    """Log to a run nested under the open one, inside the `with` block.

    The name opens the same nested run again for as long as the parent is open; it ends with its
    parent. An exception ends it as FAILED, for good. Without an open run nothing happens.
    """
    if not _current:
        yield
        return
    run = _nested(_current[-1], name)
    _current.append(run)
    try:
        yield
    except BaseException:
        _open_client().set_terminated(run, "FAILED")
        raise
    finally:
        if run in _current:  # not if the parent ended inside
            _current.remove(run)


def _nested(parent: str, name: str) -> str:
    if (parent, name) not in _children:
        experiment = _open_client().get_run(parent).info.experiment_id
        tags = {"mlflow.parentRunId": parent}
        run = _open_client().create_run(experiment, run_name=name, tags=tags)
        _children[parent, name] = str(run.info.run_id)
    return _children[parent, name]


def log_params(params: Mapping[str, Any]) -> None:
    """Log nested parameters under dotted names."""
    if _current:
        from mlflow.entities import Param

        flat = [Param(k, str(v)[:_LONGEST]) for k, v in flatten(params).items()]
        for start in range(0, len(flat), 100):  # MLflow takes 100 at a time
            _open_client().log_batch(_current[-1], params=flat[start : start + 100])


def log_metrics(metrics: Mapping[str, float], step: int = 0) -> None:
    """Log the metrics of one step."""
    reporter()(metrics, step)


def reporter(prefix: str = "") -> Callable[[Mapping[str, float], int], None]:
    """Return a function that logs the metrics of a step to the run that is open now.

    It can be pickled, so that a process started for a training logs to the run of its parent.

    Args:
        prefix: Put before every name as it is. MLflow refuses names with other characters than
            letters, digits, `_`, `-`, `.`, `/`, `:` and space.
    """
    if not _current:
        return _ignore
    return partial(_log_step, os.environ["MLFLOW_TRACKING_URI"], _current[-1], prefix)


def _log_step(uri: str, run: str, prefix: str, metrics: Mapping[str, float], step: int) -> None:
    import time

    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    batch = [Metric(f"{prefix}{name}", float(value), now, step) for name, value in metrics.items()]
    _client(uri).log_batch(run, metrics=batch)


def _ignore(metrics: Mapping[str, float], step: int) -> None:
    """Stand in where nothing is tracked."""


def log_artifact(path: Path) -> None:
    """Copy a file, or a folder under its name, into the run."""
    if not _current:
        return
    if path.is_dir():
        _open_client().log_artifacts(_current[-1], str(path), path.name)
    else:
        _open_client().log_artifact(_current[-1], str(path))


def _open_client() -> "MlflowClient":
    return _client(os.environ["MLFLOW_TRACKING_URI"])


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
