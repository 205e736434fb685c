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
    """What a file in this folder defines; `indexed` where its entry names classes."""

    Params: type[BaseModel]

    def make(self, params: Any) -> "RandomizableTransform":
        """Build the random transform of one patch.

        The patch is a dict of tensors: `image`, `(C, …, h, w)`, intensities in [0, 1], and `truth`,
        `(2, …, h, w)`, class index and loss weight. All randomness comes from the transform's `R`.
        """

    def indexed(self, params: Any, classes: Sequence[int]) -> Any:
        """Return the params with class indices in place of ids in label maps."""


def make_all(
    entries: Sequence[dict[str, Any]], classes: Sequence[int] = ()
) -> list["RandomizableTransform"]:
    """Build the transforms of the entries, in their order.

    Args:
        entries: As in `conf/`.
        classes: Ids in label maps, background first, for entries that name classes.

    Raises:
        ValueError: If there is no such kind, an entry does not fit its `Params`, or it names a
            class that there is not.
    """
    made = []
    for number, entry in enumerate(entries):
        system = find_system(FOLDER, f"augmentation.transforms[{number}]", entry)
        indexed = system.has("indexed")
        params = system.module.indexed(system.params, classes) if indexed else system.params
        made.append(system.module.make(params))
    return made
