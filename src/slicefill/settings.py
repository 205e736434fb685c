"""Kedro settings: hooks, how environments override conf/base, environment variables in conf/."""

import os

from omegaconf.resolvers import oc

from slicefill.hooks import ParametersHook, QuarantineHook, TrackingHook
from slicefill.hooks.environment import EnvironmentHook

# No library reports usage; set before MLflow is imported anywhere.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

HOOKS = (EnvironmentHook(), ParametersHook(), TrackingHook(), QuarantineHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Globals replace: merged, the label names of an experiment would keep those of the sample.
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"oc.env": oc.env},
}
