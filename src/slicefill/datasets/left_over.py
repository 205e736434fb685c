"""Cases that an earlier run made and the last one did not: their folders say so."""

import json
import logging
from collections.abc import Collection, Iterable

from slicefill.datasets.promises import inside, replace_json
from slicefill.io.case_folder import LEFT_OVER
from slicefill.io.storage import Location, read_file, replace_file

logger = logging.getLogger(__name__)
_LISTED = "_left_over.json"
_TEXT = (
    "An earlier run made this case. The last run refused it, did not find it, or had nothing to "
    "impute in it; its log says which.\nIf the case comes back as it was, this file is removed.\n"
)


def mark_left_over(folder: Location, earlier: Iterable[str], current: Collection[str]) -> None:
    """Mark the cases of a folder that are no longer made, and unmark those that are again.

    Args:
        folder: That holds the folders of the cases.
        earlier: Names of the cases that this save would have made again.
        current: Names of the cases that it makes.
    """
    marked = _read(folder)
    fresh = [name for name in earlier if name not in current and name not in marked]
    for name in fresh:
        replace_file(inside(folder, name) / LEFT_OVER, _TEXT.encode())
    for name in marked:
        if name in current:
            (inside(folder, name) / LEFT_OVER).unlink(missing_ok=True)
    left = sorted({*marked, *fresh} - {*current})
    if left or marked:
        replace_json(folder / _LISTED, left)
    if fresh:
        logger.warning(
            "%s: %d case(s) that an earlier run made are left over and marked by %s: %s",
            folder, len(fresh), LEFT_OVER, ", ".join(fresh[:5]) + (" …" if fresh[5:] else ""),
        )  # fmt: skip


def _read(folder: Location) -> list[str]:
    try:
        return list(json.loads(read_file(folder / _LISTED)))
    except FileNotFoundError:
        return []
