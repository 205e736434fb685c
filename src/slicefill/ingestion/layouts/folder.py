"""A plain folder: scans in images/, label maps of the same names in labels/."""

from collections import Counter
from pathlib import Path

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import Found, LeftAside, RawCase
from slicefill.ingestion.label_names import own_outputs, pair_names
from slicefill.ingestion.raw_files import list_files, volumes
from slicefill.ingestion.suffixes import VOLUMES, stem_below
from slicefill.params import IngestionParams

EXPECTED = f"images/ with {' '.join(VOLUMES)} files"
IMAGES = ("images", "imagesTr")
LABELS = ("labels", "labelsTr", "masks", "segmentations")  # in the order in which they are taken
_Named = list[tuple[str, Path]]
"""Paths without suffix, relative to the folder of images or labels, and the files."""
_CHANNEL = "_0000"  # of nnU-Net: of the images of a case, not of its label map


def find(folder: Path, params: IngestionParams) -> Found:
    """Pair images and label maps by their paths without suffix."""
    images = [(name, path) for place in IMAGES for name, path in _named(folder / place)]
    labels = [(name, path) for place in LABELS for name, path in _named(folder / place)]
    found, written = Found(), own_outputs(name for name, _ in images)
    found.left_aside += [LeftAside(path, written[name]) for name, path in images if name in written]
    images = [(name, path) for name, path in images if name not in written]
    if not labels:
        images, labels = _told_by_name(images)
    of_image = _label_names([name for name, _ in images], {name for name, _ in labels})
    chosen = dict(_first_places(folder, labels, found))
    twice = {error.case for error in found.refused}
    for name, path in images:
        if of_image[name] in twice:
            found.left_aside.append(LeftAside(path, "an image with several label maps"))
        else:
            found.cases.append(RawCase(name, path, chosen.get(of_image[name])))
    orphans = sorted(chosen.keys() - set(of_image.values()) - twice)
    found.refused += [_unpaired(name, chosen[name], "a label without an image") for name in orphans]
    return found


def _named(folder: Path) -> _Named:
    if not folder.is_dir():
        return []
    return [(stem_below(path, folder), path) for path in volumes(list_files(folder)[0])]


def _told_by_name(images: _Named) -> tuple[_Named, _Named]:
    """Take label maps that lie in images/ beside their images, where there is no labels/."""
    label_of = pair_names([name for name, _ in images]).label_of
    image_of = {label: image for image, label in label_of.items()}
    labels = [(image_of[name], path) for name, path in images if name in image_of]
    return [(name, path) for name, path in images if name not in image_of], labels


def _label_names(images: list[str], labels: set[str]) -> dict[str, str]:
    """Name of the label map of each image; nnU-Net's has none of the image's channel."""
    channels = Counter(name[:-5] for name in images if name[-5:-3] == "_0")
    names = {}
    for name in images:
        bare = name.removesuffix(_CHANNEL)
        alone = bare != name and channels[bare] == 1 and bare in labels - set(images)
        names[name] = bare if alone and name not in labels else name
    return names


def _first_places(folder: Path, labels: _Named, found: Found) -> _Named:
    """Take the labels of the first folder that has the name; two of one folder are refused."""
    by_name: dict[str, list[Path]] = {}
    for name, path in labels:
        by_name.setdefault(name, []).append(path)
    first = []
    for name, paths in by_name.items():
        place = paths[0].relative_to(folder).parts[0]
        same = [path for path in paths if path.relative_to(folder).parts[0] == place]
        others = [path for path in paths if path not in same]
        found.left_aside += [LeftAside(p, f"labels of an image that has some in {place}/")
                             for p in others]  # fmt: skip
        if len(same) == 1:
            first.append((name, same[0]))
        else:
            found.refused.append(_unpaired(name, same[0], "several labels"))
            reason = "one of several labels of one image"
            found.left_aside += [LeftAside(path, reason) for path in same[1:]]
    return first


def _unpaired(name: str, path: Path, problem: str) -> BadCase:
    return BadCase(
        expected="one image and one label of the same name",
        found=problem,
        remedy="rename or remove files so that the names match",
        case=name,
        file=path,
    )
