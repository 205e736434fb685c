"""What a layout makes of the files of a raw folder: cases, refused ones, and what is left aside."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from slicefill.ingestion.checks import BadCase, printable

_LONGEST = 160  # bytes of an id: with what is put around it, it must fit into a file name of 255
_RESERVED = re.compile(
    r"_complete|_left_over\.json|_failed.*\.json", re.IGNORECASE
)  # markers beside the cases
_SHOWN = 3  # files named for a reason


@dataclass(frozen=True)
class RawCase:
    """Files of a case before it is read.

    Attributes:
        id: File-name safe (letters and digits of any script, `._-`; no `..`, no leading dot).
        image: A file, or the files of a DICOM series.
        label: A file, if there is one.
        views: What cases have in common that show one object at one time; None: nothing says so.
    """

    id: str
    image: Path | tuple[Path, ...]
    label: Path | None
    views: str | None = None

    @property
    def place(self) -> Path:
        """The image's file, or the folder in which the first file of its series lies."""
        return self.image[0].parent if isinstance(self.image, tuple) else self.image


@dataclass(frozen=True)
class LeftAside:
    """A file or folder that is no part of any case, and why."""

    path: Path
    reason: str


@dataclass
class Found:
    """What lies in a raw folder: every file is used by a case, refused, or left aside.

    Attributes:
        cases: To be read.
        refused: Ambiguous, or without a partner; with what to do.
        left_aside: Of no use for imputation; hidden folders are listed, not what is in them.
        unpaired: Label maps of a folder that a caller names that no case uses, and why.
    """

    cases: list[RawCase] = field(default_factory=list)
    refused: list[BadCase] = field(default_factory=list)
    left_aside: list[LeftAside] = field(default_factory=list)
    unpaired: list[LeftAside] = field(default_factory=list)


def group_left_aside(left_aside: Iterable[LeftAside], folder: Path) -> list[tuple[str, str, int]]:
    """Return a line per reason: which files (the first ones), the reason, how many files."""
    by_reason: dict[str, list[str]] = {}
    for each in left_aside:
        by_reason.setdefault(each.reason, []).append(relative(each.path, folder))
    return [
        (_listed(sorted(names)), reason, len(names)) for reason, names in sorted(by_reason.items())
    ]


def relative(path: Path, folder: Path) -> str:
    """Return a path below a folder, with `/`, as text that can be written as UTF-8.

    What lies elsewhere, as the content of an archive does, has its name alone.
    """
    below = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return printable(below)


def safe_id(name: str) -> str:
    """Replace what may not stand in a file name, could lead out of a folder, or is too long.

    Example:
        >>> safe_id("../käse 1/scan"), safe_id("sub-01_T2w.v2"), safe_id("_COMPLETE")
        ('_._käse_1_scan', 'sub-01_T2w.v2', '_COMPLETE_')
    """
    name = unicodedata.normalize("NFC", name)
    kept = "".join(letter if _may_stand(letter) else "_" for letter in name)
    kept = re.sub(r"\.(?=\.)|^\.", "_", kept)
    if _RESERVED.fullmatch(kept):
        kept += "_"
    if len(kept.encode()) > _LONGEST:
        kept = f"{kept.encode()[: _LONGEST - 7].decode(errors='ignore')}-{_digest(name)}"
    return kept


def distinct_ids(names: list[str]) -> list[str]:
    """Return an id for every name; different names have different ids.

    A name that is an id already is kept. Of those that `safe_id` would make equal to another one,
    each gets six digits of the name's SHA-256.

    Example:
        >>> distinct_ids(["a b", "a_b", "c d"])
        ['a_b-c8687a', 'a_b', 'c_d']
    """
    ids = {name: safe_id(name) for name in names}
    counts = Counter(ids.values())
    return [
        f"{ids[name]}-{_digest(name)}" if counts[ids[name]] > 1 and ids[name] != name else ids[name]
        for name in names
    ]


def _may_stand(letter: str) -> bool:
    return letter in "._-" or letter.isalnum() or unicodedata.category(letter).startswith("M")


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:6]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
