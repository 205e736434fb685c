"""Digests that say whether a result on disk is still the result of its inputs."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from slicefill import __version__


def fingerprint(*parts: Any) -> str:
    """Digest of plain values and parameter models, with the version of this package.

    Example:
        >>> fingerprint("a", 1) == fingerprint("a", 1), fingerprint("a") == fingerprint("b")
        (True, False)
    """
    plain = [part.model_dump() if isinstance(part, BaseModel) else part for part in parts]
    text = json.dumps([__version__, *plain], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
