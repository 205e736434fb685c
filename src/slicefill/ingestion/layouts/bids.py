"""A BIDS data set: images of one suffix in sub-*/, label maps in derivatives/."""

import logging
from pathlib import Path

from slicefill.ingestion.checks import BadCase, check_same_grid
from slicefill.ingestion.found import Found, LeftAside, RawCase
from slicefill.ingestion.nifti import read_outline
from slicefill.ingestion.raw_files import list_files, volumes
from slicefill.ingestion.suffixes import stem_of, suffix_of
from slicefill.params import IngestionParams

logger = logging.getLogger(__name__)
EXPECTED = "sub-*/[ses-*/]anat/*_<bids_suffix>.nii[.gz]"
IMPUTED = "_desc-imputed_"
"""In the names of what `slicefill-bids` writes: its label maps are of imputed scans."""
_SUFFIXES = (".nii.gz", ".nii")  # those of BIDS
_LABELS = ("dseg", "seg", "mask")  # in the order in which they are taken
_MAPS = ("probseg", "roi", "defacemask", *_LABELS)  # no scans, though they are volumes


def find(folder: Path, params: IngestionParams) -> Found:
    """Take the images of `params.bids_suffix` in anat/."""
    return find_images(folder, params.bids_suffix, ("anat",), params.affine_tolerance)


def find_images(
    folder: Path, suffix: str | None, datatypes: tuple[str, ...], tolerance: float
) -> Found:
    """Take the images of one BIDS suffix (None: of any) in folders of these data types.

    Label maps are those under derivatives/ and those beside the images. A scan in a format that
    BIDS does not know is taken where no NIfTI file has its name.

    Args:
        folder: The data set.
        suffix: Such as T2w.
        datatypes: Such as anat.
        tolerance: As of `match_label`.
    """
    there = [
        path
        for datatype in datatypes
        for pattern in (f"sub-*/{datatype}/*", f"sub-*/ses-*/{datatype}/*")
        for path in volumes(folder.glob(pattern))
    ]
    known = {_key(path) for path in there if suffix_of(path) in _SUFFIXES}
    candidates = [p for p in there if suffix_of(p) in _SUFFIXES or _key(p) not in known]
    images = sorted(p for p in candidates if _is_image(p, suffix))
    beside = sorted(p for p in candidates if _rank(p) < len(_LABELS))
    labels = beside + find_labels(folder)
    found = Found()
    for image in images:
        try:
            label = match_label(image, labels, tolerance)
            found.cases.append(RawCase(stem_of(image), image, label, _views(image)))
        except BadCase as error:
            error.case = stem_of(image)
            found.refused.append(error)
    found.left_aside = _others(folder, found, labels, suffix)
    return found


def find_labels(folder: Path) -> list[Path]:
    """List label maps under `derivatives/`: of the suffix dseg, seg or mask (or seg-…).

    Those that `slicefill-bids` wrote are left out.
    """
    place = folder / "derivatives"
    files = volumes(list_files(place)[0]) if place.is_dir() else []
    return [
        path
        for path in files
        if path.name.startswith("sub-")
        and IMPUTED not in path.name
        and suffix_of(path) in _SUFFIXES
        and _rank(path) < len(_LABELS)
    ]


def match_label(image: Path, labels: list[Path], tolerance: float) -> Path | None:
    """Choose the label map of an image.

    Subject and session must be the same; other entities (`run-1`) may not contradict the
    image's; a modality in the label's name (`sub-1_T2w_seg-manual`) must be the image's. One that
    names no modality, or another space (`space-MNI…`), is taken only if its header has the image's
    grid. Of several, dseg goes before seg before mask, then the one with the
    fewest entities that the image lacks (`desc-…`).

    Args:
        image: The image.
        labels: The label maps of the data set.
        tolerance: Of grids, as `IngestionParams.affine_tolerance`.

    Raises:
        BadCase: If two are equally good.
    """
    ours, modality = _entities(image)
    ranked = []
    for label in labels:
        theirs, names = _entities(label)
        same = all(ours.get(key) == theirs.get(key) for key in ("sub", "ses"))
        consistent = all(theirs[key] == value for key, value in ours.items() if key in theirs)
        if not (same and consistent and names[:-1] in ([], modality)):
            continue
        near = theirs.get("space") in (None, ours.get("space"), modality[-1])
        if (near and names[:-1] == modality) or _has_grid(label, image, tolerance):
            ranked.append(((_rank(label), len(theirs.keys() - ours.keys())), label))
        else:
            logger.info("%s lies on another grid than %s: not its label", label.name, image.name)
    best = [label for score, label in ranked if score == min(ranked)[0]]
    if len(best) > 1:
        raise BadCase(
            expected="one label map per image",
            found=", ".join(label.name for label in best),
            remedy="move all but one out of derivatives, or use the layout `folder`",
            file=image,
        )
    return best[0] if best else None


def _has_grid(label: Path, image: Path, tolerance: float) -> bool:
    """Whether a label map has the grid of an image, by their headers."""
    try:
        outlines = read_outline(image), read_outline(label)
    except Exception:  # who reads the whole file says what is wrong with it
        return True
    try:
        check_same_grid(*outlines, tolerance)
    except BadCase:
        return False
    return True


def _views(image: Path) -> str:
    """Name what scans that differ in `acq-` and `run-` alone have in common.

    Example:
        >>> _views(Path("sub-1_acq-sagittal_run-2_T2w.nii.gz"))
        'sub-1_T2w'
    """
    parts = stem_of(image).split("_")
    return "_".join(part for part in parts if not part.startswith(("acq-", "run-")))


def _is_image(path: Path, suffix: str | None) -> bool:
    last = _entities(path)[1][-1]
    return last == suffix if suffix else last.partition("-")[0] not in _MAPS


def _others(folder: Path, found: Found, labels: list[Path], suffix: str | None) -> list[LeftAside]:
    """Name the volumes that are no image of a case and no label map that one has."""
    used = {path for case in found.cases for path in (case.image, case.label)}
    used |= {error.file for error in found.refused}
    names = {_key(path) for path in used if isinstance(path, Path)}
    wanted = f"images of the suffix {suffix}" if suffix else "scans in anat/ or ct/"

    def reason(path: Path) -> str:
        if path in labels:
            return "a label map of which no image has both the name and the grid"
        if _key(path) in names:
            return "a copy in another format of a file that is used"
        return f"BIDS, but not one of the {wanted}"

    return [LeftAside(p, reason(p)) for p in volumes(list_files(folder)[0]) if p not in used]


def _key(path: Path) -> tuple[Path, str]:
    return path.parent, stem_of(path)


def _entities(path: Path) -> tuple[dict[str, str], list[str]]:
    """Split `sub-1_run-2_T2w` into {sub: 1, run: 2} and [T2w]; the last part is no entity."""
    *parts, last = stem_of(path).split("_")
    pairs = [part.split("-", 1) for part in parts if "-" in part]
    return dict(pairs), [*(part for part in parts if "-" not in part), last]


def _rank(path: Path) -> int:
    suffix = _entities(path)[1][-1].partition("-")[0]
    return _LABELS.index(suffix) if suffix in _LABELS else len(_LABELS)
