"""A task of the Medical Segmentation Decathlon: dataset.json lists images and labels."""

import json
from pathlib import Path, PurePosixPath

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import Found, LeftAside, RawCase
from slicefill.ingestion.raw_files import list_files, volumes
from slicefill.ingestion.suffixes import stem_of
from slicefill.params import IngestionParams

EXPECTED = "dataset.json with a list `training`"
INDEX = "dataset.json"


def find(folder: Path, params: IngestionParams) -> Found:
    """Take the cases of the list `training`.

    Raises:
        ValueError: If dataset.json is not of this form.
    """
    index = folder / INDEX
    if not index.exists():
        return Found()
    try:
        entries = [(entry["image"], entry.get("label")) for entry in _training(index)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{index}: expected JSON with training: [{{image: …, label: …}}], got {error!r}"
        raise ValueError(msg) from error
    found = Found()
    for image, label in entries:
        name = stem_of(PurePosixPath(image))
        if all(_inside(folder, path) for path in (image, label) if path):
            found.cases.append(RawCase(name, folder / image, folder / label if label else None))
        else:
            found.refused.append(_leads_out(name, image, label, index))
    used = {path for case in found.cases for path in (case.image, case.label)}
    found.left_aside = [
        LeftAside(path, "a volume that is not in the list `training` of dataset.json")
        for path in volumes(list_files(folder)[0])
        if path not in used
    ]
    return found


def _training(index: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads(index.read_text())["training"]
    return entries


def _inside(folder: Path, path: str) -> bool:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return False
    return (folder / path).resolve().is_relative_to(folder.resolve())


def _leads_out(name: str, image: str, label: str | None, index: Path) -> BadCase:
    return BadCase(
        expected=f"paths inside the folder of {INDEX}",
        found=f"{image}, {label}",
        remedy="use relative paths without '..' to files inside the folder",
        case=name,
        file=index,
    )
