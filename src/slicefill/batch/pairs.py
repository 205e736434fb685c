"""Imputed cases and what they were imputed from, in whatever form either lies on disk."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from slicefill.batch.find import find_scans
from slicefill.batch.table import MADE, read_table
from slicefill.batch.tasks import TABLE
from slicefill.ingestion.found import RawCase
from slicefill.io.case_folder import LEFT_OVER
from slicefill.io.scan_files import beside, written_suffix
from slicefill.types import Case

_IMAGE, _RECORD = "image.nii.gz", "record.json"
Reader = Callable[[], Case]
SourceReader = Callable[[bool], Case]
"""Reads a case before imputing, with its label map or without."""


@dataclass(frozen=True)
class Output:
    """An imputed case on disk.

    Attributes:
        name: For messages.
        case: Its id; None for a single file, which may be named as one likes.
        read: Reads it.
        labelled: Whether it was imputed with a label map.
    """

    name: str
    case: str | None
    read: Reader
    labelled: bool = True


def list_outputs(output: Path) -> list[Output]:
    """List the imputed cases of a file, a folder that `slicefill impute` wrote, or case folders.

    Raises:
        ValueError: If there are none.
    """
    if output.is_file():
        labelled = _beside(output, "label").exists()
        return [Output(output.name, None, partial(read_files, output), labelled)]
    if (output / TABLE).exists():
        rows = read_table(output / TABLE).values()
        return [
            Output(
                row.output,
                row.case,
                partial(read_files, output / row.output),
                bool(row.input_label),
            )
            for row in rows
            if row.output and row.status in MADE
        ]
    folders = _case_folders(output)
    if not folders:
        msg = (
            f"{output}: expected a case folder with {_IMAGE}, a folder of them, or one with "
            f"{TABLE}; found none"
        )
        raise ValueError(msg)
    return [
        Output(str(folder.relative_to(output.parent)), folder.name, partial(_read_output, folder))
        for folder in folders
        if not (folder / LEFT_OVER).exists()
    ]


def list_left_over(output: Path) -> dict[str, str]:
    """Return what an earlier call or run made of cases that the last one did not, with the reason.

    Args:
        output: As for `list_outputs`.
    """
    if output.is_file():
        return {}
    if (output / TABLE).exists():
        rows = read_table(output / TABLE).values()
        left = [row for row in rows if row.output and row.status not in MADE]
        there = [row for row in left if (output / row.output).exists()]
        return {row.output: row.reason or row.status for row in there}
    return {
        str(folder.relative_to(output.parent)): f"see {LEFT_OVER} in it"
        for folder in _case_folders(output)
        if (folder / LEFT_OVER).exists()
    }


@contextmanager
def open_sources(against: Path, label: Path | None) -> Iterator[Mapping[str, SourceReader]]:
    """Find the cases before imputing: case folders, or scans of any format; readers by case id.

    Raises:
        ValueError: If label maps cannot be paired with scans.
        FileNotFoundError: If there is no scan.
    """
    cases = [path.parent for path in sorted(against.glob(f"*/{_RECORD}"))]  # an image has any name
    folders = [folder for folder in cases if not (folder / LEFT_OVER).exists()]
    if label is not None and (folders or (against / _RECORD).exists()):
        msg = f"--label belongs to scans after --against, but {against} holds cases with their own"
        raise ValueError(msg)
    if (against / _RECORD).exists():
        yield {against.name: partial(_read_source, against)}
    elif folders:
        yield {folder.name: partial(_read_source, folder) for folder in folders}
    else:
        with find_scans(against, label) as found:
            yield {raw.id: partial(_read_scan, raw) for raw in found.cases}


def match_sources(
    outputs: Sequence[Output], sources: Mapping[str, SourceReader], output: Path, against: Path
) -> dict[str, SourceReader | None]:
    """Return the reader of the source of each output, by the output's name; None without one.

    One output and one source belong together whatever they are called.

    Raises:
        ValueError: If several outputs have one source, or no name of them is one of a source.
    """
    if not outputs:  # all are left over
        return {}
    if len(sources) == 1 and len(outputs) == 1:
        return {outputs[0].name: next(iter(sources.values()))}
    if len(sources) == 1:
        msg = f"{output} holds {len(outputs)} cases, but {against} is one; give the folder of them"
        raise ValueError(msg)
    matched = {each.name: sources.get(each.case or "") for each in outputs}
    if not any(matched.values()):
        names = ", ".join(each.name for each in outputs[:3])
        msg = f"{against}: expected scans named as in {output} ({names}), found none of them"
        raise ValueError(msg)
    return matched


def _case_folders(output: Path) -> list[Path]:
    """OUTPUT itself, its children or its grandchildren: whichever hold a case, even in part."""
    patterns = [depth + name for depth in ("", "*/", "*/*/") for name in (_IMAGE, _RECORD)]
    found = {path.parent for pattern in patterns for path in output.glob(pattern)}
    # A leading dot marks a case that was being written when its run stopped.
    return sorted(folder for folder in found if not folder.name.startswith("."))


def _read_output(folder: Path) -> Case:
    case = _read_case(folder)
    if not case.record:
        msg = f"{folder}: expected {_RECORD}, found none"
        raise FileNotFoundError(msg)
    return case


def _read_case(folder: Path) -> Case:
    from slicefill.io.case_folder import read_case

    return read_case(folder)


def read_files(image: Path) -> Case:
    """Read an output, with the label map, the mask and the record that lie beside it."""
    from slicefill.api import read

    label, mask = (_beside(image, what) for what in ("label", "mask"))
    case = read(image, label if label.exists() else None)
    maps = {"synthetic_mask": read(mask).image} if mask.exists() else {}
    return replace(case, maps=maps, record=_read_record(image))


def _beside(image: Path, what: str) -> Path:
    """Path of a further output of an image."""
    return beside(image, f"_{what}{written_suffix(image.name)}")


def _read_record(image: Path) -> dict[str, Any]:
    """Read what `--record` wrote; empty where it was not asked for."""
    path = beside(image, ".json")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (ValueError, TypeError) as error:
        msg = f"{path}: expected what --record wrote, got another or a damaged file; move it"
        raise ValueError(msg) from error


def _read_source(folder: Path, _: bool) -> Case:
    return _read_case(folder)


def _read_scan(raw: RawCase, labelled: bool) -> Case:
    from slicefill.ingestion.reading import read_raw_case
    from slicefill.params.ingestion import own_scans

    # A series that lacks slices was imputed on request; the others are read alike.
    return read_raw_case(raw if labelled else replace(raw, label=None), own_scans("impute"))
