"""Label maps that lie beside their images, told by their names."""

import re
from dataclasses import dataclass, field

_KINDS = ("dseg", "seg", "segmentation", "labels", "label", "labelmap", "gt", "mask")
_MARK = re.compile(rf"(?:^|[._-])(?P<kind>[a-z]{{0,2}}(?:{'|'.join(_KINDS)}))(?=[._-]|$)", re.I)
_PLACES = {"labels", "labelstr", "masks", "segmentations"}
_IMAGE_PLACES = ("images", "imagesTr", "Images")


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
    perhaps with more behind it (`scan_seg-manual`); or lies in labels/, masks/ or segmentations/
    where an image of its name lies in images/; or is called `seg` beside a single image.

    Example:
        >>> pair_names(["a/ct", "a/seg", "b_seg", "c", "c_mask", "c_dseg"]).label_of
        {'a/ct': 'a/seg', 'c': 'c_dseg'}
    """
    known = set(names)
    pairs = Pairs()
    candidates: dict[str, list[tuple[tuple[int, ...], str]]] = {}
    marked = [name for name in names if _is_marked(name, known)]
    images = known - set(marked)
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


def _is_marked(name: str, known: set[str]) -> bool:
    """Whether a name says that it is a label map: at its end, or after the name of an image."""
    folder, last = _split(name)
    marks = list(_MARK.finditer(last))
    at_end = any(mark.end() == len(last) for mark in marks)
    behind_image = any(folder + last[: mark.start()] in known for mark in marks if mark.start())
    return at_end or behind_image or _image_place(name, known) is not None


def _owners(name: str, images: set[str]) -> tuple[list[str], tuple[int, ...]]:
    """Return the images that a label map may belong to, and its rank among their label maps."""
    placed = _image_place(name, images)
    if placed is not None:
        return [placed], (0, 0)
    folder, last = _split(name)
    for mark in reversed(list(_MARK.finditer(last))):
        stem, kind = last[: mark.start()], mark["kind"].lower()
        rank = _KINDS.index(kind) if kind in _KINDS else len(_KINDS)
        place = (rank, len(last) - mark.end())
        if stem and folder + stem in images:
            return [folder + stem], place
        here = [each for each in sorted(images) if _split(each)[0] == folder]
        begins = [each for each in here if _split(each)[1].startswith((f"{stem}_", f"{stem}-"))]
        if stem and begins:
            return begins, place
        if not stem and here:
            return here, place
    return [], ()


def _image_place(name: str, known: set[str]) -> str | None:
    """Name of the image in images/ for a label map in labels/, if it is there."""
    parts = name.split("/")
    for index, part in enumerate(parts[:-1]):
        if part.lower() in _PLACES:
            for place in _IMAGE_PLACES:
                other = "/".join([*parts[:index], place, *parts[index + 1 :]])
                if other in known:
                    return other
    return None


def _split(name: str) -> tuple[str, str]:
    folder, slash, last = name.rpartition("/")
    return folder + slash, last
