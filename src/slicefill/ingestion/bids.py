"""Which image and which label belong together in a BIDS dataset."""

from pathlib import Path

from slicefill.ingestion.checks import BadCase

_SUFFIXES = (".nii.gz", ".nii")
_LABEL_SUFFIXES = ("dseg", "seg", "mask")  # in the order in which they are taken


def find_images(folder: Path, suffix: str) -> list[Path]:
    """List `sub-*/[ses-*/]anat/*_<suffix>.nii[.gz]`."""
    found = [*folder.glob("sub-*/anat/*"), *folder.glob("sub-*/ses-*/anat/*")]
    return sorted(p for p in found if p.name.endswith(tuple(f"_{suffix}{s}" for s in _SUFFIXES)))


def find_labels(folder: Path) -> list[Path]:
    """List the files under `derivatives/` whose suffix is dseg, seg or mask (or seg-…)."""
    found = sorted((folder / "derivatives").rglob("sub-*.nii*"))
    return [p for p in found if p.name.endswith(_SUFFIXES) and _rank(p) < len(_LABEL_SUFFIXES)]


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
