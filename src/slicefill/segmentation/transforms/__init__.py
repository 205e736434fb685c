"""Transforms of training patches, a KIND: every file in this folder is one.

They stand in `conf/` in the list `augmentation.transforms` and apply in its order.
`docs/how-to/new_transform.md` writes one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from slicefill.plugins import find_system

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform

FOLDER = __name__


class TransformFile(Protocol):
    """What a file in this folder defines."""

    Params: type[BaseModel]

    def make(self, params: Any) -> "RandomizableTransform":
        """Build the random transform of one patch.

        The patch is a dict of tensors: `image`, `(C, …, h, w)`, intensities in [0, 1], and `truth`,
        `(2, …, h, w)`, label and loss weight. All randomness comes from the transform's `R`.
        """


def make_all(entries: Sequence[dict[str, Any]]) -> list["RandomizableTransform"]:
    """Build the transforms of the entries, in their order.

    Raises:
        ValueError: If there is no such kind, or an entry does not fit its `Params`.
    """
    systems = [
        find_system(FOLDER, f"augmentation.transforms[{number}]", entry)
        for number, entry in enumerate(entries)
    ]
    return [system.module.make(system.params) for system in systems]
