"""One file made of every scan, one after the other."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from slicefill.batch.tasks import REMEDY
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.layouts import RawCase

T = TypeVar("T")


def make_each(
    cases: Sequence[RawCase],
    names: Mapping[str, Sequence[Path]],
    make: Callable[[RawCase, Path], T],
    *,
    overwrite: bool,
    title: str,
) -> tuple[dict[str, T], dict[str, str]]:
    """Make files of every scan; one that fails does not stop the others.

    Args:
        cases: The scans.
        names: Of the files, by case id; `make` gets the first, and knows those beside it.
        make: Reads a scan and writes its files.
        overwrite: Whether files that are there are replaced.
        title: Before the bar of progress, which a terminal shows.

    Returns:
        What `make` returned, and the reason of each failure, by case id.
    """
    from tqdm.auto import tqdm

    done: dict[str, T] = {}
    failed: dict[str, str] = {}
    for raw in tqdm(cases, title, unit="scan", disable=None):
        try:
            there = [path for path in names[raw.id] if path.exists()]
            if there and not overwrite:
                failed[raw.id] = f"{there[0]} exists; {REMEDY}"
                continue
            done[raw.id] = make(raw, names[raw.id][0])
        except BadCase as error:
            failed[raw.id] = f"refused: {error.told}"
        except Exception as error:  # a scan that fails must not stop the others
            failed[raw.id] = f"{type(error).__name__}: {error}"
    return done, failed
