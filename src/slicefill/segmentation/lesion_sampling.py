"""Draws patches for small objects: every lesion alike, and centres that are easily taken for one.

Reference:
    Assis et al., An Efficient Data Strategy for the Detection of Brain Aneurysms from MRA with Deep
    Learning, DALI 2021.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slicefill.params.segmentation import LesionSampling
from slicefill.segmentation.sampling import Cut, Drawing, Sampler
from slicefill.segmentation.scans import ScanPromise
from slicefill.segmentation.sources import Pool, Source
from slicefill.types import Array, Floats

Kind = Literal["lesion", "hard", "usual"]


@dataclass(frozen=True, eq=False)
class Centres:
    """Where the patches of a scan may be centred, voxels `(n, 3)`.

    Attributes:
        lesions: Of every class that shows, of every connected part its voxels.
        hard: Off objects, on the hardest voxels.
        usual: Off objects, on voxels of usual intensity.
    """

    lesions: list[list[Array]]
    hard: Array
    usual: Array

    def draw(self, kind: Kind, rng: np.random.Generator) -> Array | None:
        """Draw a centre, `(3,)`; None where the scan has none of this kind."""
        if kind == "lesion":
            of_class = self.lesions[rng.integers(len(self.lesions))] if self.lesions else ()
            of_one = of_class[rng.integers(len(of_class))] if of_class else ()
        else:
            of_one = self.hard if kind == "hard" else self.usual
        return of_one[rng.integers(len(of_one))] if len(of_one) else None


class LesionSampler(Sampler):
    """Patches in fixed shares: on lesions, on hard voxels, on usual ones.

    Of a batch of B, `foreground_fraction · B` patches are centred on lesions, and of the others the
    share `hard_fraction` on hard voxels, in random order. Where such a number is not whole, chance
    decides between the two beside it, so that it holds on average. A lesion is a connected part of
    one class, over the slices that may be drawn as if they lay side by side; the classes that show
    are drawn alike, and so are the parts of each. Where no scan has centres of a kind, patches of
    that kind lie anywhere.
    """

    def __init__(
        self, scans: Mapping[str, ScanPromise], drawing: Drawing, params: LesionSampling
    ) -> None:
        super().__init__(scans, drawing)
        self._params = params
        self._centres: dict[str, Centres] = {}  # of all scans: far smaller than they are

    def _cuts(self, count: int, rng: np.random.Generator, labelled: bool) -> list[Cut]:
        if not labelled:
            return super()._cuts(count, rng, labelled)
        lesions = _whole(self._drawing.foreground_fraction * count, rng)
        hard = _whole(self._params.hard_fraction * (count - lesions), rng)
        kinds: list[Kind] = [*["lesion"] * lesions, *["hard"] * hard]  # type: ignore[list-item]
        kinds.extend(["usual"] * (count - len(kinds)))
        return [self._cut_kind(kinds[i], rng) for i in rng.permutation(count)]

    def _cut_kind(self, kind: Kind, rng: np.random.Generator) -> Cut:
        """Cut a patch of a kind out of a case chosen among those that have such centres."""
        for i in rng.permutation(len(self._drawn_from)):
            name = self._drawn_from[i]
            source = self._cache[name]
            centre = self._find(name, source).draw(kind, rng)
            if centre is not None:
                return self.cut_at(source, self.around(source, centre))
        return self.cut(*self._choose(rng, True), rng)

    def _find(self, name: str, source: Source) -> Centres:
        if name not in self._centres:
            self._centres[name] = find_centres(source, source.labelled, self._params)
        return self._centres[name]


def _whole(exact: float, rng: np.random.Generator) -> int:
    """Round down or up at random, so that the mean is exact."""
    return int(exact) + int(rng.random() < exact % 1)


def find_centres(source: Source, pool: Pool, params: LesionSampling) -> Centres:
    """Find where the patches of a scan may be centred; the same whenever it is asked.

    Args:
        source: The scan.
        pool: Its slices that may be drawn.
        params: How many, how far apart.
    """
    from skimage.measure import label

    allowed = np.zeros(source.label.shape, bool)
    allowed[pool.slices] = source.weight[pool.slices] > 0
    # Slices without labels, which may lie between the others, cut no lesion in two.
    shown = np.where(allowed, source.label, 0)[pool.slices]
    parts = label(shown, connectivity=3)  # type: ignore[no-untyped-call]
    order = np.argwhere(shown)
    classes, numbers = shown[tuple(order.T)], parts[tuple(order.T)]
    order[:, 0] = pool.slices[order[:, 0]]
    lesions = [
        [order[numbers == number] for number in np.unique(numbers[classes == one])]
        for one in np.unique(classes)
    ]
    free = allowed & (source.label == 0)
    hard = _apart(_by_hardness(source, free, params), source, params)
    usual = _apart(_usual(source.image, free, params), source, params, hard)
    return Centres(lesions, hard, usual)


def _by_hardness(source: Source, free: Array, params: LesionSampling) -> NDArray[np.int64]:
    """Flat indices of free voxels, the hardest first; an edge by its steepness per mm."""
    hardness = source.image[0]
    if params.hard == "gradient":
        axes = [axis for axis in range(3) if hardness.shape[axis] > 1]
        steps = [np.gradient(hardness, source.spacing[axis], axis=axis) for axis in axes]
        hardness = np.sqrt(np.sum(np.square(steps), axis=0))
    places = np.flatnonzero(free)
    return places[np.argsort(-hardness.ravel()[places], kind="stable")]


def _usual(image: Floats, free: Array, params: LesionSampling) -> NDArray[np.int64]:
    """Flat indices of free voxels within the band of intensities, in random order."""
    places = np.flatnonzero(free)
    if not len(places):
        return places
    values = image[0].ravel()[places]
    low, high = np.quantile(values, params.band)
    kept = places[(values >= low) & (values <= high)]
    return np.random.default_rng(0).permutation(kept)


def _apart(
    order: NDArray[np.int64], source: Source, params: LesionSampling, taken: Array | None = None
) -> NDArray[np.int64]:
    """Take places in their order, none nearer to another, or to those taken, than the distance."""
    free = np.zeros(source.label.shape, bool)
    free.flat[order] = True
    for centre in () if taken is None else taken:
        _occupy(free, centre, source, params)
    chosen: list[NDArray[np.int64]] = []
    while len(chosen) < params.negatives and len(order := order[free.flat[order]]):
        chosen.append(np.array(np.unravel_index(order[0], free.shape)))
        _occupy(free, chosen[-1], source, params)
    return np.array(chosen, np.int64).reshape(-1, 3)


def _occupy(free: Array, centre: Array, source: Source, params: LesionSampling) -> None:
    """Mark the voxels nearer to a centre than the distance, and the centre, as not free."""
    reach = (params.distance / source.spacing).astype(int)
    first, end = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, free.shape)
    beside = np.ogrid[tuple(map(slice, first, end))]
    away = sum(
        np.square((places - middle) * spacing)
        for places, middle, spacing in zip(beside, centre, source.spacing, strict=True)
    )
    free[tuple(map(slice, first, end))] &= away >= params.distance**2
    free[tuple(centre)] = False
