"""Fingerprints say whether a result on disk is still the result of its inputs."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from slicefill import __version__


def fingerprint(*parts: Any) -> str:
    """Return a fingerprint of plain values and parameter models, with the version of this package.

    Example:
        >>> fingerprint("a", 1) == fingerprint("a", 1), fingerprint("a") == fingerprint("b")
        (True, False)
    """
    plain = [part.model_dump() if isinstance(part, BaseModel) else part for part in parts]
    text = json.dumps([__version__, *plain], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def code_fingerprint(package: str) -> str:
    """Return a fingerprint of the source of a package: what its code made is made anew with it."""
    folder = Path(str(find_spec(package).submodule_search_locations[0]))  # type: ignore[union-attr,index]
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.py")}
    return fingerprint(files)


def weights_fingerprint(weights: Mapping[str, Any]) -> str:
    """Return the SHA-256 over names and numbers of a state dict, for provenance.

    Neither the order of its tensors nor their memory format counts.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
