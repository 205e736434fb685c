"""Name and tags of a run in MLflow's table of runs."""

import shlex
from collections.abc import Mapping
from typing import Any

from slicefill.tracking.values import flatten

_IN_NAME = {"axis", "factor", "variant", "preset"}  # overrides that a name says in other words
_UNTRAINED = {"ingestion", "anisotropization"}  # pipelines without a method


def run_name(design: Mapping[str, Any], run_params: Mapping[str, Any]) -> str:
    """Name a run by its method, other overrides, pipelines and data.

    The method comes first because the table of runs cuts long names.

    Args:
        design: The experiment's name, axis, factor, variant and preset.
        run_params: What Kedro passes to its hooks.

    Example:
        >>> design = {"experiment": "hippocampus", "factor": 4, "axis": "S", "variant": "iia"}
        >>> run_name(design, {"pipeline_names": ["synthesis"], "runtime_params": {"seed": 1}})
        'iia seed=1 · synthesis · hippocampus ×4 S'
    """
    overrides = flatten(run_params["runtime_params"] or {})
    changes = [f"{name}={value}" for name, value in overrides.items() if name not in _IN_NAME]
    parts = [
        " ".join(filter(None, [_method(design, run_params), *changes])),
        "+".join(stages(run_params)),
        f"{design['experiment']} ×{design['factor']} {design['axis']}",
    ]
    return " · ".join(filter(None, parts))


def run_tags(
    design: Mapping[str, Any], run_params: Mapping[str, Any], commit: Mapping[str, str]
) -> dict[str, str]:
    """Return the tags of a run; those with a dot are MLflow's own, for source and version columns.

    Args:
        design: The experiment's name, axis, factor, variant, preset and seed.
        run_params: What Kedro passes to its hooks.
        commit: `git_commit` and `git_dirty`, both empty outside of a repository.
    """
    command = kedro_command(run_params)
    joined = "+".join(stages(run_params))
    changed = " with uncommitted changes" if commit["git_dirty"] == "true" else ""
    tags = {
        "dataset": str(design["experiment"]),
        "axis": str(design["axis"]),
        "factor": str(design["factor"]),
        "method": _method(design, run_params),
        "seed": str(design["seed"]),
        "stage": joined,
        **commit,
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit["git_commit"],
        "mlflow.note.content": f"`{command}` at commit {commit['git_commit'] or '?'}{changed}",
    }
    return {name: value for name, value in tags.items() if value}


def kedro_command(run_params: Mapping[str, Any]) -> str:
    """Return the command that starts such a run.

    Example:
        >>> kedro_command({"env": "tiny", "pipeline_names": ["synthesis"], "runtime_params": None})
        'kedro run --env=tiny --pipelines=synthesis'
    """
    words = ["kedro", "run"]
    if run_params["env"]:
        words.append(f"--env={run_params['env']}")
    if run_params["pipeline_names"]:
        words.append(f"--pipelines={','.join(run_params['pipeline_names'])}")
    if run_params.get("namespaces"):
        words.append(f"--namespaces={','.join(run_params['namespaces'])}")
    overrides = flatten(run_params["runtime_params"] or {})
    if overrides:
        words.append("--params=" + ",".join(f"{name}={value}" for name, value in overrides.items()))
    return shlex.join(words)


def stages(run_params: Mapping[str, Any]) -> list[str]:
    """Name what a run does: its pipelines, or boxes of the study."""
    return list(run_params.get("namespaces") or run_params["pipeline_names"] or ["study"])


def _method(design: Mapping[str, Any], run_params: Mapping[str, Any]) -> str:
    does = set(stages(run_params))
    if does <= _UNTRAINED:
        return ""
    return str(design["preset"] if "comparison" in does else design["variant"])
