"""The project as the generated pages describe it: configuration, pipelines, models, systems."""

import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from kedro.config import OmegaConfigLoader
from kedro.pipeline import Pipeline
from pydantic import BaseModel

import slicefill.pipelines
from slicefill.params import TrackingParams
from slicefill.plugins import find_kind, list_kinds
from slicefill.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[2]


def configuration(kind: str, **overrides: object) -> dict[str, Any]:
    """Read the `parameters` or the `catalog` of `conf/base`, with overrides as `--params` sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Kedro 1.7 calls a function that OmegaConf renamed
        # `base` twice: conf/local is a subject's own and belongs on no page
        loader = OmegaConfigLoader(
            str(ROOT / "conf"), "base", runtime_params=overrides, **CONFIG_LOADER_ARGS
        )
        return dict(loader[kind])


@cache
def pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name."""
    found = pkgutil.iter_modules(slicefill.pipelines.__path__)
    modules = {one.name: import_module(f"slicefill.pipelines.{one.name}") for one in found}
    return {name: module.create_pipeline() for name, module in modules.items()}


def parameter_models() -> dict[str, type[BaseModel]]:
    """The model of every section of the parameters, as its node or its kind declares it."""
    typed = (pair for pipeline in pipelines().values() for pair in _typed_inputs(pipeline))
    return (
        _section_models()
        | {"tracking": TrackingParams}
        | {
            name.removeprefix("params:"): hint
            for name, hint in typed
            if name.startswith("params:") and inspect.isclass(hint) and issubclass(hint, BaseModel)
        }
    )


@cache
def systems() -> dict[str, dict[str, ModuleType]]:
    """The file of every system, by the folder of its kind and by its name."""
    source = ROOT / "src"
    inits = sorted(source.rglob("__init__.py"))
    folders = [path.parent for path in inits if "FOLDER = __name__" in path.read_text("utf-8")]
    names = [".".join(folder.relative_to(source).parts) for folder in folders]
    return {name: {kind: find_kind(name, kind) for kind in list_kinds(name)} for name in names}


def _section_models() -> dict[str, type[BaseModel]]:
    """The model of every section that the entries of a kind share."""
    files = (file for kind in systems().values() for file in kind.values())
    return {file.SECTION: file.Params for file in files if hasattr(file, "SECTION")}


def _typed_inputs(pipeline: Pipeline) -> Iterator[tuple[str, object]]:
    for node in pipeline.nodes:
        arguments = inspect.signature(node.func).bind(*node.inputs).arguments
        hints = get_type_hints(node.func)
        yield from ((name, hints.get(argument)) for argument, name in arguments.items())
