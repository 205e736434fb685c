"""What a run is called in the table of runs, and by what it is found there."""

import shlex
from collections.abc import Mapping
from typing import Any

from slicefill.tracking.values import flatten

DESIGN = ("axis", "factor", "variant", "seed", "preset")
_UNTRAINED = {"ingestion", "anisotropization"}  # no method takes part in these


def run_name(design: Mapping[str, Any], run_params: Mapping[str, Any]) -> str:
    """Name a run by method, what else was set on the command line, pipelines and data.

    What tells runs apart comes first: the table of runs cuts long names.

    Example:
        >>> design = {"experiment": "hippocampus", "factor": 4, "axis": "S", "variant": "iia"}
        >>> run_name(design, {"pipeline_names": ["synthesis"], "runtime_params": {"seed": 1}})
        'iia seed=1 · synthesis · hippocampus ×4 S'
    """
    named = set(DESIGN) - {"seed"}
    overrides = flatten(run_params["runtime_params"] or {})
    changes = [f"{name}={value}" for name, value in overrides.items() if name not in named]
    parts = [
        " ".join(filter(None, [_method(design, run_params), *changes])),
        "+".join(_stages(run_params)),
        f"{design['experiment']} ×{design['factor']} {design['axis']}",
    ]
    return " · ".join(filter(None, parts))


def run_tags(
    design: Mapping[str, Any], run_params: Mapping[str, Any], commit: Mapping[str, str]
) -> dict[str, str]:
    """Tags of a run; those with a dot are MLflow's own, for the source and version columns.

    Args:
        design: The experiment's name, axis, factor, variant, preset and seed.
        run_params: What Kedro was told.
        commit: `git_commit` and `git_dirty`, both empty outside of a repository.
    """
    command = kedro_command(run_params)
    stages = "+".join(_stages(run_params))
    changed = " with changes that are not committed" if commit["git_dirty"] == "true" else ""
    tags = {
        "dataset": str(design["experiment"]),
        "axis": str(design["axis"]),
        "factor": str(design["factor"]),
        "method": _method(design, run_params),
        "seed": str(design["seed"]),
        "stage": stages,
        **commit,
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit["git_commit"],
        "mlflow.note.content": f"`{command}` at commit {commit['git_commit'] or '?'}{changed}",
    }
    return {name: value for name, value in tags.items() if value}


def kedro_command(run_params: Mapping[str, Any]) -> str:
    """Write the command that starts such a run.

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


def _stages(run_params: Mapping[str, Any]) -> list[str]:
    return list(run_params.get("namespaces") or run_params["pipeline_names"] or ["study"])


def _method(design: Mapping[str, Any], run_params: Mapping[str, Any]) -> str:
    stages = set(_stages(run_params))
    if stages <= _UNTRAINED:
        return ""
    return str(design["preset"] if "comparison" in stages else design["variant"])
