"""Overrides on the command line that cannot mean what they say."""

from typing import Any

from kedro.framework.hooks import hook_impl

from slicefill import tracking
from slicefill.plugins import check_entries

_SECTIONS = (
    "ingestion",
    "anisotropization",
    "synthesis",
    "super_resolution",
    "pretraining",
    "adaptation",
    "imputation",
    "evaluation",
    "augmentation",
    "segmentation",
    "scoring",
    "comparison",
    "tuning",
    "executor",
)
_SHORTCUTS = {  # parameter → the override that sets it everywhere and names the folder
    "comparison.preset": "preset",
    "anisotropization.factor": "factor",
    "super_resolution.factor": "factor",
    "anisotropization.axis": "axis",
    **{
        f"{section}.through_plane": "axis"
        for section in ("ingestion", "synthesis", "imputation", "augmentation", "super_resolution")
    },
}


class ParametersHook:
    """Refuses overrides that would be without effect, or that would split an experiment."""

    @hook_impl
    def after_catalog_created(self, parameters: dict[str, Any]) -> None:
        """Validate every entry that names a system.

        Raises:
            ValueError: Naming the entry.
        """
        check_entries(parameters)

    @hook_impl(tryfirst=True)  # before a run is opened that would then be left behind
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Check `--params` before any node runs.

        Raises:
            ValueError: Naming the override and what to write instead.
        """
        for name, value in tracking.flatten(run_params["runtime_params"] or {}).items():
            section = name.partition(".")[0]
            if name == "tuning.storage" and "@" in str(value):
                msg = (
                    f"--params {name}: its password would be tracked; set SLICEFILL_TUNING_STORAGE"
                )
                raise ValueError(msg)
            if name in _SHORTCUTS:
                instead = _SHORTCUTS[name]
                msg = f"--params {name}={value}: results would mix; write {instead}={value}"
                raise ValueError(msg)
            if section not in (*tracking.DESIGN, "shard", *_SECTIONS):
                known = ", ".join((*tracking.DESIGN, "shard", "<pipeline>.<parameter>"))
                msg = f"--params {name}={value}: expected one of {known}, got {name}"
                raise ValueError(msg)
