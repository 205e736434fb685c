"""A task of the Medical Segmentation Decathlon: dataset.json lists images and labels."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import Found, LeftAside, RawCase
from slicefill.ingestion.raw_files import list_files, volumes
from slicefill.ingestion.suffixes import stem_of, suffix_of
from slicefill.params import IngestionParams

EXPECTED = "dataset.json with a list `training`"
INDEX = "dataset.json"


def find(folder: Path, params: IngestionParams) -> Found:
    """Take the cases of the list `training`.

    nnU-Net lists its cases without the channel that their files name, and the first is taken.

    Raises:
        ValueError: If dataset.json is not of this form.
    """
    index = folder / INDEX
    if not index.exists():
        return Found()
    try:
        entries = [_paths(entry) for entry in json.loads(index.read_text())["training"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = (
            f"{index}: expected JSON with training: [{{image: …, label: …}}], a path each, got "
            f"{error!r}; correct it, or set ingestion.layout=tree to go by the files alone"
        )
        raise ValueError(msg) from error
    found = Found()
    for listed, label in entries:
        name, image = stem_of(PurePosixPath(listed)), _of_nnunet(folder, listed)
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


def _paths(entry: dict[str, Any]) -> tuple[str, str | None]:
    """Return the paths of image and label map that an entry gives."""
    image, label = entry["image"], entry.get("label")
    if not (isinstance(image, str) and isinstance(label, str | None)):
        msg = f"image {image!r} and label {label!r}"
        raise TypeError(msg)
    return image, label


def _of_nnunet(folder: Path, image: str) -> str:
    """Return the first channel's file of an image that is not there, if that is."""
    suffix = suffix_of(PurePosixPath(image))
    first = f"{image.removesuffix(suffix)}_0000{suffix}"
    return first if (folder / first).exists() and not (folder / image).exists() else image


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
