"""Label maps that lie beside their images, told by their names."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

PROPAGATED = "_propagated_label"
"""How `slicefill propagate` names what it writes beside a scan."""
CONFIDENCE = "_confidence"
"""How a map of confidence is named behind what it is of."""
_KINDS = ("dseg", "seg", "segmentation", "labels", "label", "labelmap", "gt", "mask")
_MARK = re.compile(rf"(?:^|[._-])(?P<kind>[a-z]{{0,2}}(?:{'|'.join(_KINDS)}))(?=[._-]|$)", re.I)
_PLACES = {
    "label", "labels", "labelstr", "mask", "masks", "seg", "segs", "segmentation", "segmentations",
    "gt", "annotations",
}  # fmt: skip
_IMAGE_PLACES = {"image", "images", "imagestr", "img", "imgs", "scan", "scans", "volumes"}


@dataclass
class Pairs:
    """Which names are label maps.

    Attributes:
        label_of: Name of an image → name of its label map.
        others: Further label maps of an image → why they are not taken.
        orphans: Label maps that belong to no image, or to several → what was found.
    """

    label_of: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    orphans: dict[str, str] = field(default_factory=dict)


def pair_names(names: list[str]) -> Pairs:
    """Tell label maps from images by their paths without suffix, and pair them.

    A label map is called as its image and then `_seg`, `-label`, `_mask`, `.seg`, `_dseg`, …,
    perhaps with more behind it (`scan_seg-manual`); or lies in a folder such as labels/ or masks/
    while an image of its name lies in images/, or one folder higher; or is called `seg` beside a
    single image.

    Example:
        >>> pair_names(["a/ct", "a/seg", "b_seg", "c", "c_mask", "c_dseg"]).label_of
        {'a/ct': 'a/seg', 'c': 'c_dseg'}
    """
    known = set(names)
    pairs = Pairs(others=own_outputs(names))
    candidates: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    scans = known - pairs.others.keys()
    marked = {name for name in scans if _is_marked(name, known)}
    images = scans - marked
    for name in sorted(marked):
        owners, rank = _owners(name, images)
        if len(owners) == 1:
            candidates.setdefault(owners[0], []).append((rank, name))
        else:
            pairs.orphans[name] = (
                "a label without an image"
                if not owners
                else f"a label that fits {len(owners)} images: {', '.join(owners[:3])}"
            )
    for image, ranked in candidates.items():
        (_, first), *rest = sorted(ranked)
        pairs.label_of[image] = first
        pairs.others.update(
            {name: "a further label map of an image that has one" for _, name in rest}
        )
    return pairs


def own_outputs(names: Iterable[str]) -> dict[str, str]:
    """Tell maps of confidence, and labels that were propagated, beside what they are of.

    Args:
        names: Paths without suffix.

    Returns:
        Name → why it is no scan.

    Example:
        >>> list(own_outputs(["a", "a_isotropic_confidence", "a_propagated_label", "b_confidence"]))
        ['a_propagated_label']
    """
    known = set(names)
    kinds = {
        CONFIDENCE: "a map of confidence",
        PROPAGATED: "labels that `slicefill propagate` wrote: name them to use them",
    }
    return {
        name: reason
        for name in sorted(known)
        for end, reason in kinds.items()
        if name.endswith(end) and name.removesuffix(end) in known
    }


def _is_marked(name: str, known: set[str]) -> bool:
    """Whether a name says that it is a label map: its folder, its end, or after an image's name."""
    folder, last = _split(name)
    marks = list(_MARK.finditer(last))
    at_end = any(mark.end() == len(last) for mark in marks)
    behind_image = any(folder + last[: mark.start()] in known for mark in marks if mark.start())
    return at_end or behind_image or _bare(name, _PLACES) != name


def _owners(name: str, images: set[str]) -> tuple[list[str], tuple[int, ...]]:
    """Return the images that a label map may belong to, and its rank among their label maps."""
    bare = _bare(name, _PLACES)
    placed = bare != name
    by_name: dict[str, list[str]] = {}
    for image in sorted(images):
        by_name.setdefault(_bare(image, _IMAGE_PLACES) if placed else image, []).append(image)
    if placed and bare in by_name:
        return by_name[bare], (0, 0)
    folder, last = _split(bare)
    stems = [(last[: mark.start()], mark) for mark in reversed(list(_MARK.finditer(last)))]
    for stem, mark in stems:
        kind = mark["kind"].lower()
        rank = _KINDS.index(kind) if kind in _KINDS else len(_KINDS)
        owners = _called(folder, stem, by_name)
        if owners:
            return owners, (rank, len(last) - mark.end())
    return (_called(folder, last, by_name) if placed else []), (len(_KINDS), 0)


def _called(folder: str, stem: str, by_name: dict[str, list[str]]) -> list[str]:
    """Images in a folder that are called so, or else that begin so; all of them for no name."""
    if stem and folder + stem in by_name:
        return by_name[folder + stem]
    begins = (f"{stem}_", f"{stem}-") if stem else ("",)
    here = [name for name in by_name if _split(name)[0] == folder]
    return [image for name in here if _split(name)[1].startswith(begins) for image in by_name[name]]


def _bare(name: str, places: set[str]) -> str:
    """Return a path without its folder of labels, or of images."""
    *folders, last = name.split("/")
    for index, part in enumerate(folders):
        if part.lower() in places:
            return "/".join([*folders[:index], *folders[index + 1 :], last])
    return name


def _split(name: str) -> tuple[str, str]:
    folder, slash, last = name.rpartition("/")
    return folder + slash, last
