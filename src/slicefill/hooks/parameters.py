"""Checks on `--params`: overrides that have no effect, or that mix results, are refused."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from slicefill import tracking
from slicefill.params import TrackingParams, as_plain
from slicefill.plugins import check_entries, check_names

_IN_GLOBALS = ("count", "target_spacing", "exact")  # of imputation: they name its results
_REFERENCE = re.compile(r"\$\{runtime_params:(\w+)\s*[,}]")  # a shortcut, as files of conf/ use it


class ParametersHook:
    """Refuses an override that nothing reads, or that sets one of several equal parameters.

    `conf/` alone says what may be overridden. A name in `${runtime_params:axis,…}` is a shortcut
    for every parameter that has this value. Sections are the top-level mappings of the parameters.
    """

    def __init__(self) -> None:
        self._loader: Any = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the loader of the configuration, which is read only if there is an override."""
        self._loader = context.config_loader

    @hook_impl
    def after_catalog_created(self, parameters: dict[str, Any]) -> None:
        """Validate every entry of `conf/` that names a system, and what names an entry or a folder.

        Raises:
            ValueError: Names the entry, or the place.
        """
        sections = parameters["parameters"]
        check_entries(sections)
        check_names(sections)
        TrackingParams.model_validate(sections["tracking"])
        for name in _IN_GLOBALS:
            self._refuse_other(name, as_plain(sections)["imputation"][name])

    def _refuse_other(self, name: str, used: Any) -> None:
        """Refuse a value by which the results would lie in the folder of another."""
        named = self._loader["globals"][name]
        chosen = (self._loader.runtime_params or {}).get("imputation", {})
        if used != (chosen.get(name, named) if isinstance(chosen, Mapping) else named):
            msg = (
                f"imputation.{name}: it names the folder of the results; expected {named}, as in "
                f"globals.yml, got {used}; set it there (`{name}: {used}`), not in parameters.yml"
            )
            raise ValueError(msg)

    @hook_impl(tryfirst=True)  # before a run is opened that would then be left behind
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Check `--params` before any node runs.

        Raises:
            ValueError: Names the override and what to write instead.
        """
        overrides = tracking.flatten(run_params["runtime_params"] or {})
        if not overrides:
            return
        shortcuts = _find_shortcuts(self._loader)
        parameters = _load_parameters(self._loader, {name: _token(name) for name in shortcuts})
        sections = sorted(n for n, values in parameters.items() if isinstance(values, Mapping))
        tokens = {_token(name): name for name in shortcuts}
        values = tracking.flatten({name: parameters[name] for name in sections})
        shortcut_of = {name: tokens[v] for name, v in values.items() if str(v) in tokens}
        for name, value in overrides.items():
            _refuse_password(name, value)
            if name in shortcut_of:
                msg = (
                    f"--params {name}={value}: other parameters and the name of the results must "
                    f"change with it; write {shortcut_of[name]}={value}"
                )
                raise ValueError(msg)
            section, dot, _ = name.partition(".")
            if name not in shortcuts and not (dot and section in sections):
                known = ", ".join((*shortcuts, "<section>.<parameter>"))
                near = [f"{each}.{name}" for each in sections if name in parameters[each]]
                msg = (
                    f"--params {name}={value}: expected one of {known}, with a section of "
                    f"{', '.join(sections)}; got {name}"
                    + (f"; perhaps {' or '.join(near)}" if near else "")
                )
                raise ValueError(msg)


def _find_shortcuts(loader: Any) -> list[str]:
    """List the names that files of `conf/` take from `--params` directly, such as `axis`."""
    folders = {loader.base_env, loader.env or loader.default_run_env}
    files = [f for folder in folders for f in Path(loader.conf_source, folder).rglob("*.yml")]
    return sorted({name for file in files for name in _REFERENCE.findall(file.read_text())})


def _load_parameters(loader: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Read the parameters of the same environment with other overrides."""
    other = OmegaConfigLoader(
        loader.conf_source,
        loader.env,
        dict(overrides),
        base_env=loader.base_env,
        default_run_env=loader.default_run_env,
        merge_strategy=loader.merge_strategy,
        custom_resolvers=loader._custom_resolvers,
    )
    return dict(other["parameters"])


def _token(shortcut: str) -> str:
    """Value of a shortcut that no parameter has by chance."""
    return f"<set by the shortcut {shortcut}>"


def _refuse_password(name: str, value: Any) -> None:
    if name == "tuning.storage" and "@" in str(value):
        msg = f"--params {name}: its password would be tracked; set SLICEFILL_TUNING_STORAGE"
        raise ValueError(msg)
