"""Calls to a tracking server as plain values: performed now, or kept and performed later.

A call holds `verb`, `run` (the key of a run, known before any server is) and `content`.
Performing a call twice leaves the server as after the first time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

Call = dict[str, Any]
EXPERIMENT = "slicefill"
_KEY = "slicefill.key"
_KILLED = "its process was killed; a later run found that, and its end is when it did"
_ids: dict[str, str] = {}  # MLflow's ids: of runs by our key, of the experiment by its name


class UnknownRunError(LookupError):
    """The server has no run of that key."""


def perform(client: "MlflowClient", call: Call) -> None:
    """Perform a call on the server.

    Raises:
        UnknownRunError: If it does not know the run.
        mlflow.exceptions.MlflowException: If it refuses, or cannot be reached.
    """
    _VERBS[call["verb"]](client, call["run"], call["content"])


def run_id(client: "MlflowClient", key: str) -> str:
    """Return MLflow's id of a run.

    Raises:
        UnknownRunError: If the server has no run of that key.
    """
    if key not in _ids:
        found = _find(client, key)
        if found is None:
            raise UnknownRunError(key)
        _ids[key] = found
    return _ids[key]


def known_id(key: str) -> str | None:
    """Return MLflow's id of a run, or of the experiment by its name, without asking a server.

    None if no server has it yet.
    """
    return _ids.get(key)


def _find(client: "MlflowClient", key: str) -> str | None:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return None
    runs = client.search_runs([experiment.experiment_id], f"tags.`{_KEY}` = '{key}'")
    return str(runs[0].info.run_id) if runs else None


def _create(client: "MlflowClient", key: str, content: dict[str, Any]) -> None:
    found = _find(client, key)
    if found is None:
        tags = {**content["tags"], _KEY: key}
        if content["parent"]:
            tags["mlflow.parentRunId"] = run_id(client, content["parent"])
        number = _ids[EXPERIMENT] = _experiment(client, content["location"])
        run = client.create_run(number, content["time"], tags, content["name"])
        found = str(run.info.run_id)
    _ids[key] = found


def _experiment(client: "MlflowClient", location: str | None) -> str:
    """Return the id of the experiment, which is made if it is not there."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(EXPERIMENT)) is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(EXPERIMENT, location))
    except MlflowException:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise
        return str(found.experiment_id)  # a run that starts at the same time made it


def _end(client: "MlflowClient", key: str, content: dict[str, Any]) -> None:
    client.set_terminated(run_id(client, key), content["status"], content["time"])


def _killed(client: "MlflowClient", key: str, content: dict[str, Any]) -> None:
    """End a run that its process left open, and the runs nested in it, and say so in a tag."""
    parent = client.get_run(run_id(client, key))
    nested = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    for run in (*nested, parent):
        if run.info.status == "RUNNING":
            client.set_tag(run.info.run_id, "slicefill.killed", _KILLED)
            client.set_terminated(run.info.run_id, "KILLED", content["time"])


def _params(client: "MlflowClient", key: str, content: dict[str, Any]) -> None:
    from mlflow.entities import Param

    client.log_batch(run_id(client, key), params=[Param(*one) for one in content["params"]])


def _metrics(client: "MlflowClient", key: str, content: dict[str, Any]) -> None:
    from mlflow.entities import Metric

    client.log_batch(run_id(client, key), metrics=[Metric(*one) for one in content["metrics"]])


def _inputs(client: "MlflowClient", key: str, content: dict[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(Dataset(**one), [InputTag("mlflow.data.context", context)])
        for context, one in content["datasets"].items()
    ]
    client.log_inputs(run_id(client, key), inputs)


def _artifact(client: "MlflowClient", key: str, content: dict[str, Any]) -> None:
    path, folder = Path(content["path"]), content["folder"]
    if path.is_dir():
        client.log_artifacts(run_id(client, key), str(path), folder)
    else:
        client.log_artifact(run_id(client, key), str(path), folder)


_VERBS: dict[str, Callable[["MlflowClient", str, dict[str, Any]], None]] = {
    "create": _create,
    "end": _end,
    "killed": _killed,
    "params": _params,
    "metrics": _metrics,
    "inputs": _inputs,
    "artifact": _artifact,
}
