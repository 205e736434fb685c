"""Promises kept one by one in a folder: one that fails does not stop the rest."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from kedro.io import DatasetError
from tqdm.auto import tqdm

from slicefill.types import Lazy

logger = logging.getLogger(__name__)
T = TypeVar("T")
_FAILED = "_failed.json"


def make_each(
    promises: Mapping[str, Lazy[T]],
    save_one: Callable[[str, Lazy[T]], None],
    drop_one: Callable[[str], None],
    folder: Path,
    unit: str,
) -> dict[str, str]:
    """Save promises in turn, so that one result is in memory at a time.

    Args:
        promises: What is to be saved, by name.
        save_one: Makes and writes a promise that is not on disk yet.
        drop_one: Removes what lies on disk under a name: after a failure it is the stale result
            of an earlier setting, which must not pass for this one.
        folder: Where the failures are recorded; made if there is none.
        unit: What a promise is of, for messages.

    Returns:
        The reason of each failure, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # As long as this stands, a run that was killed does not count as done.
    replace_json(folder / _FAILED, dict.fromkeys(promises, "not finished: the run was stopped"))
    failed: dict[str, str] = {}
    shown = tqdm(promises.items(), desc=folder.name, unit=unit, disable=len(promises) < 2)
    for name, promise in shown:
        try:
            save_one(name, promise)
        except Exception as error:
            logger.exception("%s: %s %s failed and is left out", folder.name, unit, name)
            failed[name] = f"{type(error).__name__}: {error}"
            drop_one(name)
    replace_json(folder / _FAILED, failed)
    return failed


def read_failures(folder: Path) -> dict[str, str]:
    """Return what failed when the folder was last saved to, with the reason."""
    path = folder / _FAILED
    return dict(json.loads(path.read_text())) if path.exists() else {}


def inside(folder: Path, name: str) -> Path:
    """Return the path of a name in a folder.

    Raises:
        DatasetError: If the name leads out of the folder or is hidden.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or not parts.parts or any(p.startswith(".") for p in parts.parts):
        msg = f"{folder}: the name {name!r} must be a relative path without a leading dot in it"
        raise DatasetError(msg)
    return folder / parts


def replace_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is replaced whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1))
    partial.replace(path)
