"""Kedro settings: hooks, soft merging of environments, and environment variables in conf/."""

from omegaconf.resolvers import oc

from slicefill.hooks import QuarantineHook, TrackingHook

HOOKS = (TrackingHook(), QuarantineHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
    "custom_resolvers": {"oc.env": oc.env},
}
