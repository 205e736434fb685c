"""Fusion of several views of one subject into one label map, a KIND: every file here is one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import BaseModel

from slicefill.plugins import System, find_system
from slicefill.types import Array, Floats

if TYPE_CHECKING:
    from slicefill.views.sampling import Sampled

FOLDER = __name__


class FusionFile(Protocol):
    """What a file in this folder defines.

    `WHOLE = True` in it asks for the whole grid at once; else voxels come a slab at a time.
    """

    Params: type[BaseModel]

    def fuse(self, views: "Sequence[Sampled]", params: Any) -> tuple[Array, Floats]:
        """Fuse the labels of views that are sampled on one grid.

        Args:
            views: At least one; the first is the reference if it is labelled.
            params: The entry, validated.

        Returns:
            Label ids `(I, J, K)`, 0 where no view covers a voxel; and how much speaks for them, as
            if every view could say up to 1, `(I, J, K)`.
        """


def find_fusion(entry: dict[str, Any]) -> System:
    """Find the kind of fusion that an entry of `conf/` names.

    Raises:
        ValueError: If there is no such kind, or the entry does not fit its `Params`.
    """
    return find_system(FOLDER, "fusion", entry)


def fuse(views: "Sequence[Sampled]", system: System) -> tuple[Array, Floats]:
    """Fuse sampled views (`FusionFile.fuse`).

    Raises:
        ValueError: If there is no view, or the views lie on different grids.
    """
    shapes = {view.place.shape for view in views}
    if len(shapes) != 1:
        msg = f"fusion: expected views on one grid, got {sorted(shapes) or 'no view'}"
        raise ValueError(msg)
    label, weight = system.module.fuse(views, system.params)
    return label, np.asarray(weight, dtype=np.float32)
