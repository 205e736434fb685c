"""Fusion of several views of one subject into one label map, a KIND: every file here is one."""

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from slicefill.plugins import find_system
from slicefill.types import Prediction

FOLDER = __name__


class FusionFile(Protocol):
    """What a file in this folder defines."""

    Params: type[BaseModel]

    def fuse(self, views: Sequence[Prediction], params: Any) -> Prediction:
        """Fuse label maps that lie on one grid.

        Args:
            views: At least one; the first is the reference.
            params: The entry, validated.
        """


def fuse(views: Sequence[Prediction], entry: dict[str, Any]) -> Prediction:
    """Fuse views by an entry of `conf/`.

    Raises:
        ValueError: If there is no such kind, the entry does not fit its `Params`, or the views lie
            on different grids.
    """
    system = find_system(FOLDER, "fusion", entry)
    fused: Prediction = system.module.fuse(views, system.params)
    return fused
