"""Cases of a raw folder: plain folders, MSD, BIDS, DICOM."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slicefill.ingestion import itk
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.dicom import dicom_files
from slicefill.params import IngestionParams

NIFTI_SUFFIXES = (".nii.gz", ".nii", ".hdr")
_SUFFIXES = (*NIFTI_SUFFIXES, *itk.SUFFIXES)


@dataclass(frozen=True)
class RawCase:
    """Files of a case before it is read.

    Attributes:
        id: File-name safe (`[A-Za-z0-9._-]`, no `..`, no leading dot).
        image: A file, or the folder of a DICOM series.
        label: A file, if there is one.
    """

    id: str
    image: Path
    label: Path | None


Found = tuple[list[RawCase], list[BadCase]]


def find_cases(folder: Path, params: IngestionParams) -> Found:
    """List the cases of a raw folder, by id, and those that are ambiguous or cannot be paired.

    Raises:
        FileNotFoundError: If the folder holds nothing of the expected layout.
    """
    find, expected = _LAYOUTS[params.layout]
    cases, bad = find(folder, params) if folder.is_dir() else ([], [])
    if not cases and not bad:
        msg = f"{folder}: expected {expected} (layout: {params.layout}), found {_content(folder)}"
        raise FileNotFoundError(msg)
    counts = Counter(case.id for case in cases)
    bad += [_duplicate(case) for case in cases if counts[case.id] > 1]
    unique = [case for case in cases if counts[case.id] == 1]
    return sorted(unique, key=lambda case: case.id), sorted(bad, key=lambda error: error.case)


def safe_id(name: str) -> str:
    """Replace what may not stand in a file name, or could lead out of a folder.

    Example:
        >>> safe_id("../käse 1/scan"), safe_id("sub-01_T2w.v2")
        ('_._k_se_1_scan', 'sub-01_T2w.v2')
    """
    return re.sub(r"[^A-Za-z0-9._-]|\.(?=\.)|^\.", "_", name)


def _find_in_folders(folder: Path, params: IngestionParams) -> Found:
    images, labels = _volumes(folder / "images"), _volumes(folder / "labels")
    label_of = {_stem(path): path for path in labels}
    twice = {stem for stem, count in Counter(map(_stem, labels)).items() if count > 1}
    orphans = twice | (label_of.keys() - {_stem(path) for path in images})
    cases = [
        RawCase(safe_id(_stem(path)), path, label_of.get(_stem(path)))
        for path in images
        if _stem(path) not in twice
    ]
    return cases, [
        BadCase(
            expected="one image and one label of the same name",
            found="several labels" if stem in twice else "a label without an image",
            remedy="rename or remove files so that the names match",
            case=safe_id(stem),
            file=label_of[stem],
        )
        for stem in sorted(orphans)
    ]


def _find_msd(folder: Path, params: IngestionParams) -> Found:
    index = folder / "dataset.json"
    if not index.exists():
        return [], []
    try:
        entries = [(entry["image"], entry.get("label")) for entry in _training(index)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{index}: expected JSON with training: [{{image: …, label: …}}], got {error!r}"
        raise ValueError(msg) from error
    cases, bad = [], []
    for image, label in entries:
        case = safe_id(_stem(PurePosixPath(image)))
        if all(_inside(folder, path) for path in (image, label) if path):
            cases.append(RawCase(case, folder / image, folder / label if label else None))
        else:
            bad.append(
                BadCase(
                    expected="paths inside the folder of dataset.json",
                    found=f"{image}, {label}",
                    remedy="use relative paths without '..' to files inside the folder",
                    case=case,
                    file=index,
                )
            )
    return cases, bad


def _find_bids(folder: Path, params: IngestionParams) -> Found:
    labels = find_labels(folder)
    cases, bad = [], []
    for image in find_images(folder, params.bids_suffix):
        case = safe_id(_stem(image))
        try:
            cases.append(RawCase(case, image, match_label(image, labels)))
        except BadCase as error:
            error.case = case
            bad.append(error)
    return cases, bad


def _find_dicom(folder: Path, params: IngestionParams) -> Found:
    folders = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    series = [path for path in folders if dicom_files(path)]
    names = {path: path.relative_to(folder).as_posix() for path in series}
    return [
        RawCase(safe_id(folder.resolve().name if names[path] == "." else names[path]), path, None)
        for path in series
    ], []


_LAYOUTS: dict[str, tuple[Callable[[Path, IngestionParams], Found], str]] = {
    "folder": (_find_in_folders, f"images/ with {' '.join(_SUFFIXES)} files"),
    "msd": (_find_msd, "dataset.json with a list `training`"),
    "bids": (_find_bids, "sub-*/[ses-*/]anat/*_<bids_suffix>.nii[.gz]"),
    "dicom": (_find_dicom, "folders of DICOM files, one series in each"),
}


def _volumes(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in found if p.name.endswith(_SUFFIXES) and not p.name.startswith(".")]


def _stem(path: Path | PurePosixPath) -> str:
    suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), "")
    return path.name.removesuffix(suffix)


def _training(index: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads(index.read_text())["training"]
    return entries


def _inside(folder: Path, path: str) -> bool:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return False
    return (folder / path).resolve().is_relative_to(folder.resolve())


def _duplicate(case: RawCase) -> BadCase:
    return BadCase(
        expected="an id of its own for every case",
        found=f"several cases named {case.id}",
        remedy="rename or remove files; ids are file names without their suffix",
        case=case.id,
        file=case.image,
    )


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "") or "an empty folder"


_BIDS_SUFFIXES = (".nii.gz", ".nii")
_LABEL_SUFFIXES = ("dseg", "seg", "mask")  # in the order in which they are taken


def find_images(folder: Path, suffix: str) -> list[Path]:
    """List `sub-*/[ses-*/]anat/*_<suffix>.nii[.gz]`."""
    found = [*folder.glob("sub-*/anat/*"), *folder.glob("sub-*/ses-*/anat/*")]
    return sorted(
        p for p in found if p.name.endswith(tuple(f"_{suffix}{s}" for s in _BIDS_SUFFIXES))
    )


def find_labels(folder: Path) -> list[Path]:
    """List the files under `derivatives/` whose suffix is dseg, seg or mask (or seg-…)."""
    found = sorted((folder / "derivatives").rglob("sub-*.nii*"))
    return [p for p in found if p.name.endswith(_BIDS_SUFFIXES) and _rank(p) < len(_LABEL_SUFFIXES)]


def match_label(image: Path, labels: list[Path]) -> Path | None:
    """Choose the label map of an image.

    Subject and session must be the same; other entities (`run-1`) may not contradict the
    image's; a modality in the label's name (`sub-1_T2w_seg-manual`) must be the image's. Of
    several, dseg goes before seg before mask, then the one with the fewest entities that the
    image lacks (`space-…`, `desc-…`).

    Raises:
        BadCase: If two are equally good.
    """
    ours, modality = _entities(image)
    ranked = []
    for label in labels:
        theirs, names = _entities(label)
        same = all(ours.get(key) == theirs.get(key) for key in ("sub", "ses"))
        consistent = all(theirs[key] == value for key, value in ours.items() if key in theirs)
        if same and consistent and names[:-1] in ([], modality):
            ranked.append(((_rank(label), len(theirs.keys() - ours.keys())), label))
    best = [label for score, label in ranked if score == min(ranked)[0]]
    if len(best) > 1:
        raise BadCase(
            expected="one label map per image",
            found=", ".join(label.name for label in best),
            remedy="move all but one out of derivatives, or use the layout `folder`",
            file=image,
        )
    return best[0] if best else None


def _entities(path: Path) -> tuple[dict[str, str], list[str]]:
    """Split `sub-1_run-2_T2w` into {sub: 1, run: 2} and [T2w]; the last part is no entity."""
    *parts, last = path.name.removesuffix(".gz").removesuffix(".nii").split("_")
    pairs = [part.split("-", 1) for part in parts if "-" in part]
    return dict(pairs), [*(part for part in parts if "-" not in part), last]


def _rank(path: Path) -> int:
    suffix = _entities(path)[1][-1].partition("-")[0]
    return _LABEL_SUFFIXES.index(suffix) if suffix in _LABEL_SUFFIXES else len(_LABEL_SUFFIXES)
