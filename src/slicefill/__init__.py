"""Slicefill: learned slice imputation for anisotropic 3D medical scans."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from slicefill.api import evaluate as evaluate
    from slicefill.api import impute as impute
    from slicefill.api import read as read
    from slicefill.api import verify as verify
    from slicefill.api import write as write

_PUBLIC = ("evaluate", "impute", "read", "verify", "write")


def __getattr__(name: str) -> Any:
    """Import what callers use when they use it: `slicefill --help` needs none of it."""
    if name in _PUBLIC:
        from slicefill import api

        return getattr(api, name)
    msg = f"module 'slicefill' has no attribute {name!r}"
    raise AttributeError(msg)
