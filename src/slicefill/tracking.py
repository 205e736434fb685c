"""MLflow, addressed by run id; heavy imports wait until a run starts.

`SLICEFILL_TRACKING=off` switches it off. `MLFLOW_TRACKING_URI` names a server; without it the
store is `data/mlflow/mlflow.db` under the project.
"""

import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)
_EXPERIMENT = "slicefill"
_LONGEST = 500  # characters of a parameter that MLflow stores
_current: list[str] = []  # id of the run that is open, if any


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
    """Close the open run as FINISHED or FAILED."""
    if _current:
        _open_client().set_terminated(_current.pop(), status)


def log_params(params: Mapping[str, Any]) -> None:
    """Log nested parameters under dotted names."""
    if _current:
        from mlflow.entities import Param

        flat = [Param(k, str(v)[:_LONGEST]) for k, v in flatten(params).items()]
        for start in range(0, len(flat), 100):  # MLflow takes 100 at a time
            _open_client().log_batch(_current[-1], params=flat[start : start + 100])


def log_metrics(metrics: Mapping[str, float], step: int = 0) -> None:
    """Log the metrics of one step."""
    if _current:
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        _open_client().log_batch(_current[-1], metrics=batch)


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
