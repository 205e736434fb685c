"""Tracking of runs in MLflow, also while its server is unavailable.

`MLFLOW_TRACKING_URI` names a server; without it the store is `data/mlflow/mlflow.db` under the
project. `SLICEFILL_TRACKING=off` switches tracking off. MLflow itself is imported when a run
starts, not before.
"""

from slicefill.tracking.lineage import log_environment, log_inputs
from slicefill.tracking.naming import run_name, run_tags
from slicefill.tracking.registry import ModelFile, register_model
from slicefill.tracking.runs import child_run, end_run, made, start_run, store_uri, tell_store
from slicefill.tracking.values import (
    flatten,
    log_artifact,
    log_metrics,
    log_params,
    log_table,
    reporter,
)

__all__ = [
    "ModelFile",
    "child_run",
    "end_run",
    "flatten",
    "log_artifact",
    "log_environment",
    "log_inputs",
    "log_metrics",
    "log_params",
    "log_table",
    "made",
    "register_model",
    "reporter",
    "run_name",
    "run_tags",
    "start_run",
    "store_uri",
    "tell_store",
]
