"""Kedro settings: hooks, how environments override conf/base, environment variables in conf/."""

import warnings

from omegaconf.resolvers import oc

from slicefill.hooks import ParametersHook, QuarantineHook, SummaryHook, TrackingHook
from slicefill.hooks.environment import EnvironmentHook
from slicefill.resolvers import folder_in, name_grid, name_scans

# Kedro's own use of OmegaConf, which no user can change.
warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated")

HOOKS = (EnvironmentHook(), ParametersHook(), TrackingHook(), QuarantineHook(), SummaryHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # Globals replace: merged, the label names of an experiment would keep those of the sample.
    "merge_strategy": {"parameters": "soft"},
    "custom_resolvers": {
        "oc.env": oc.env,
        "folder_in": folder_in,
        "scans_name": name_scans,
        "grid_name": name_grid,
    },
}
