"""Kinds of systems: folders whose every file is one system, chosen by `kind:` in `conf/`."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from slicefill.params.base import explain

_OURS = __name__.partition(".")[0]
KINDS = {
    "methods": "slicefill.imputation.methods",
    "segmentation.engines": "slicefill.segmentation.engines",
    "segmentation.inference.wrappers": "slicefill.segmentation.inference",
    "augmentation.transforms": "slicefill.segmentation.transforms",
    "audits": "slicefill.audits",
}
"""Where entries of a kind stand in the parameters, and the folder of their files."""
NEEDED = {
    "slicefill.imputation.methods": ("load", "finish"),
    "slicefill.segmentation.engines": ("load",),
    "slicefill.segmentation.inference": ("wrap",),
    "slicefill.segmentation.transforms": ("make",),
    "slicefill.audits": ("audit",),
    "slicefill.registration": ("register",),
    "slicefill.fusion": ("fuse",),
}
"""Functions of which a file of a kind has one, by folder."""
_TRAINING = ("train", "training_fingerprint")  # of which a file has both or none


@dataclass(frozen=True)
class System:
    """A system that `conf/` chose.

    Attributes:
        name: Of the entry in `conf/`.
        module: Its file, which holds `Params` and the functions of the kind's Protocol.
        params: The entry, validated.
    """

    name: str
    module: ModuleType
    params: Any

    @property
    def kind(self) -> str:
        """The name of its file; of a module of the user's own, that of the module, with dots."""
        name = self.module.__name__
        return name.rpartition(".")[2] if name.startswith(f"{_OURS}.") else name

    def has(self, function: str) -> bool:
        """Whether the system has a function that its kind leaves open."""
        return hasattr(self.module, function)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the module by its name, so that workers of an executor can be sent a system."""
        return _restore, (self.name, self.module.__name__, self.params)


def _restore(name: str, module: str, params: Any) -> System:
    return System(name, importlib.import_module(module), params)


def list_kinds(folder: str) -> list[str]:
    """List the systems in a folder.

    Args:
        folder: A package, such as `slicefill.imputation.methods`; every file or package in it is
            a system.
    """
    package = importlib.import_module(folder)
    return sorted(each.name for each in pkgutil.iter_modules(package.__path__))


def find_kind(folder: str, kind: Any, name: str = "") -> ModuleType:
    """Import the file of a kind of system.

    Args:
        folder: The package of the kind.
        kind: The name of a file in it, or, with dots, a module of the user's own.
        name: Of the entry that asks for it, for messages.

    Raises:
        ValueError: If there is no such file, with the list of those that exist, or a module of the
            user's own cannot be imported.
    """
    known = list_kinds(folder)
    if kind not in known and "." not in str(kind):
        msg = f"{name}.kind: expected one of {', '.join(known)}, got {kind!r}".removeprefix(".")
        raise ValueError(msg)
    if "." not in str(kind):
        return importlib.import_module(f"{folder}.{kind}")
    try:
        return importlib.import_module(str(kind))
    except (ImportError, SyntaxError) as error:
        msg = (
            f"{name}.kind: expected a module that can be imported, got {kind!r}: "
            f"{type(error).__name__}: {error}; look for it on the path (PYTHONPATH), or install it"
        ).removeprefix(".")
        raise ValueError(msg) from error


def find_system(
    folder: str, name: str, entry: Mapping[str, Any], sections: Mapping[str, Any] | None = None
) -> System:
    """Import the system that an entry of `conf/` names, and validate the entry.

    Args:
        folder: The package of the kind.
        name: Of the entry, for messages: `methods.iia`.
        entry: `kind`, the name of a file in the folder (or, with dots, a module of the user's
            own), and fields of its `Params`.
        sections: All parameters. A system whose file says `SECTION = "synthesis"` takes from that
            section what the entry does not set.

    Raises:
        ValueError: If there is no such kind, its file lacks what its Protocol asks for, or the
            entry does not fit its `Params`.
    """
    if not isinstance(entry, Mapping):
        msg = f"{name}: expected an entry such as {{kind: {entry}}}, got {entry!r}"
        raise ValueError(msg)
    kind = entry.get("kind")
    module = find_kind(folder, kind, name)
    _check_file(module, folder, f"{name} (kind {kind})")
    own = {field: value for field, value in entry.items() if field != "kind"}
    shared = _plain((sections or {}).get(getattr(module, "SECTION", ""), {}))
    try:
        params = module.Params.model_validate(_merge(shared, own))
    except ValidationError as error:
        where = f" and section {module.SECTION}" if hasattr(module, "SECTION") else ""
        msg = f"{name} (kind {kind}){where}: {explain(error)}"
        raise ValueError(msg) from error
    return System(name.rpartition(".")[2], module, params)


def _check_file(module: ModuleType, folder: str, name: str) -> None:
    """Refuse a file without `Params`, or without functions that its kind needs (ValueError)."""
    own = getattr(module, "Params", None)
    if not (isinstance(own, type) and issubclass(own, BaseModel)):
        msg = f"{name}: expected a class Params(BaseParams) in {module.__file__}, found none"
        raise ValueError(msg)
    needed = NEEDED.get(folder, ())
    if needed and not any(hasattr(module, function) for function in needed):
        msg = f"{name}: expected a function {' or '.join(needed)} in {module.__file__}, found none"
        raise ValueError(msg)
    there = [function for function in _TRAINING if hasattr(module, function)]
    if len(there) == 1:
        (absent,) = {*_TRAINING} - {*there}
        msg = f"{name}: expected {absent} beside {there[0]} in {module.__file__}, found none"
        raise ValueError(msg)


def check_entries(parameters: Mapping[str, Any]) -> None:
    """Validate every entry of every kind, so that a misspelt one stops a run before it begins.

    Raises:
        ValueError: Naming the entry.
    """
    for place, folder in KINDS.items():
        entries: Any = parameters
        for key in place.split("."):
            entries = _plain(entries).get(key, {})
        named = entries.items() if isinstance(entries, Mapping) else enumerate(entries)
        for name, entry in named:
            find_system(folder, f"{place}.{name}", entry, parameters)


def check_names(parameters: Mapping[str, Any]) -> None:
    """Check that sections name entries that there are: methods, and engines that segment.

    Raises:
        ValueError: Naming the place, and the entries.
    """
    engines = list(_plain(parameters["segmentation"])["engines"])
    methods, rows = list(parameters["methods"]), _plain(parameters["comparison"])
    for name in _plain(parameters["imputation"])["methods"]:
        _expect(name, methods, "imputation.methods")
    for name, preset in rows["presets"].items():
        _expect(preset["engine"], engines, f"comparison.presets.{name}.engine")
    for name, row in rows["methods"].items():
        _expect(
            row.get("imputed_by", name),
            ["none", "oracle", *methods],
            f"comparison.methods.{name}.imputed_by",
        )
        _expect(row.get("engine") or engines[0], engines, f"comparison.methods.{name}.engine")


def _expect(name: str, known: list[str], place: str) -> None:
    if name not in known:
        msg = f"{place}: expected one of {', '.join(known)}, got {name!r}"
        raise ValueError(msg)


def _plain(section: Any) -> dict[str, Any]:
    """Return a section as plain values; Kedro has validated those that nodes ask for as models."""
    return section.model_dump() if isinstance(section, BaseModel) else dict(section)


def _merge(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Let own values replace shared ones, field by field down to the last mapping."""
    merged = dict(shared)
    for field, value in own.items():
        below = merged.get(field)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[field] = _merge(below, value)
        else:
            merged[field] = value
    return merged
