"""Kedro settings: hooks, how environments override conf/base, environment variables in conf/."""

from omegaconf.resolvers import oc

from slicefill.hooks import ParametersHook, QuarantineHook, TrackingHook

HOOKS = (ParametersHook(), TrackingHook(), QuarantineHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Globals replace: merged, the label names of an experiment would keep those of the sample.
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {"oc.env": oc.env},
}
