"""Inference wrappers, a KIND: every file in this folder changes how a predictor is applied.

They stand in `conf/` in the list `segmentation.inference.wrappers`, and apply in its order, the
first one innermost. `docs/how-to/new_transform.md` writes one.
"""

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from slicefill.plugins import System, find_system

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor

FOLDER = __name__


class WrapperFile(Protocol):
    """What a file in this folder defines: `Params` and `wrap`, and the others where they apply."""

    Params: type[BaseModel]

    def wrap(self, predictor: "Predictor", params: Any) -> "Predictor":
        """Return another predictor, from a scan to class probabilities `(K, D, H, W)`."""

    def refine(self, params: Any) -> tuple[int, int, int]:
        """Return how many times finer the probabilities are, along slices, rows and columns.

        The first voxel centre stays where it is.
        """

    def extends(self, params: Any) -> set[str]:
        """Return the axes along which probabilities go on beyond the last voxel centre."""

    def check_extended(self, params: Any, extended: Set[str], place: str) -> None:
        """Raise ValueError where wrappers further inside extend axes and this one cannot have it.

        Args:
            params: Of this wrapper.
            extended: Axes, as of `extends`.
            place: Of this wrapper in the parameters, for the message.
        """


def wrap_all(predictor: "Predictor", entries: Sequence[dict[str, Any]]) -> "Predictor":
    """Wrap a predictor by every entry, the first one innermost.

    Raises:
        ValueError: As `find_wrappers` says.
    """
    for system in find_wrappers(entries):
        predictor = system.module.wrap(predictor, system.params)
    return predictor


def refinement(entries: Sequence[dict[str, Any]]) -> tuple[int, int, int]:
    """Say how many times finer predictions are than scans, by all wrappers together."""
    finer = (1, 1, 1)
    for system in find_wrappers(entries):
        own = system.module.refine(system.params) if system.has("refine") else (1, 1, 1)
        finer = (finer[0] * own[0], finer[1] * own[1], finer[2] * own[2])
    return finer


def find_wrappers(entries: Sequence[dict[str, Any]]) -> list[System]:
    """Find the wrappers that entries name, and check that each can have those further inside.

    Raises:
        ValueError: If there is no such kind, an entry does not fit its `Params`, or mirror images
            would be averaged on a grid that extends beyond the scan at one end.
    """
    systems, extended = [], set[str]()
    for number, entry in enumerate(entries):
        place = f"segmentation.inference.wrappers[{number}]"
        system = find_system(FOLDER, place, entry)
        if system.has("check_extended"):
            system.module.check_extended(system.params, extended, place)
        if system.has("extends"):
            extended |= system.module.extends(system.params)
        systems.append(system)
    return systems
