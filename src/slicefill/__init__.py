"""Slicefill: learned slice imputation for anisotropic 3D medical scans."""

import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from slicefill.api import evaluate as evaluate
    from slicefill.api import fuse as fuse
    from slicefill.api import impute as impute
    from slicefill.api import propagate as propagate
    from slicefill.api import read as read
    from slicefill.api import verify as verify
    from slicefill.api import write as write

_PUBLIC = ("evaluate", "fuse", "impute", "propagate", "read", "verify", "write")
_START = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep; those that spin starve busy machines
    "DO_NOT_TRACK": "true",  # no library reports usage: Kedro and kedro-viz take any value,
    "KEDRO_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow only `true`
}
"""Read when PyTorch, Kedro and MLflow are imported, which is later; what the user has set stays."""
for _name, _value in _START.items():
    os.environ.setdefault(_name, _value)


def __getattr__(name: str) -> Any:
    """Import what callers use when they use it: `slicefill --help` needs none of it."""
    if name in _PUBLIC:
        from slicefill import api

        return getattr(api, name)
    msg = f"module 'slicefill' has no attribute {name!r}"
    raise AttributeError(msg)
