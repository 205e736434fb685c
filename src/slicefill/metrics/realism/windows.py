"""Windows of slices, acquired plane and reformatted: what realism is judged from.

Real and synthetic windows lie at alternating places of the same subjects, so that nothing but the
way they came about tells them apart: not the subject, not the place, not the number format.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import DescribedSet
from slicefill.metrics.image import ImagePair
from slicefill.types import Array

SIZE = 64
"""Rows and columns of a window, pixels."""
COUNT = 8
"""Most windows of a kind in each direction of a case."""
PLANES: Mapping[str, tuple[int, ...]] = {
    "in_plane": (0,),
    "reformatted": (1, 2),
    "rows": (1,),
    "columns": (2,),
}
"""Across which axes of `(D, H, W)` the slices of a plane lie; imputation shows in reformatted ones,
whose first axis is the one across slices."""
_MADE, _REAL, _CONTROL = range(3)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows and whose they are.

    Attributes:
        pixels: uint8, `(n, 64, 64)`; 0 to 255 is the data range.
        subjects: `(n,)`.
    """

    pixels: NDArray[np.uint8]
    subjects: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.pixels)


def describe_windows(pair: ImagePair, mask: Array) -> NDArray[np.uint8]:
    """Cut windows around the body out of one channel of a case.

    Args:
        pair: The slices.
        mask: The body in all slices, bool, `(D, H, W)`.

    Returns:
        `(3, 3, 8, 64, 64)`: synthetic, real, and real at the places of the synthetic ones; across
        each axis; all 0 where a case has fewer places. In the acquired plane all are places of
        synthetic slices. Nothing is resampled; what lies outside a slice is 0.
    """
    cut = np.zeros((3, 3, COUNT, SIZE, SIZE), np.uint8)
    made, real = (_as_bytes(image, pair) for image in (pair.prediction, pair.truth))
    for axis in range(3):
        places = _places(pair, mask, axis)
        for number, place in enumerate(places):
            kinds = {_REAL: real} if number % 2 else {_MADE: made, _CONTROL: real}
            centre = np.argwhere(mask.take(place, axis)).mean(axis=0).round().astype(int)
            for kind, volume in kinds.items():
                cut[kind, axis, number // 2] = _window(volume.take(place, axis), centre)
    return cut


@lru_cache(maxsize=8)
def gather(described: DescribedSet, plane: str) -> tuple[Windows, Windows, Windows]:
    """Collect the windows of a set: synthetic, real, and real ones of the training subjects."""
    return (
        _collect(described.cases, _MADE, plane),
        _collect(described.cases, _REAL, plane),
        _collect(described.training, _REAL, plane),
    )


def real_in_place(described: DescribedSet) -> DescribedSet:
    """Put real windows in the place of the synthetic ones: what a perfect method would score."""
    swapped = {
        subject: [one[[_CONTROL, _REAL, _CONTROL]] for one in own]
        for subject, own in described.cases.items()
    }
    return DescribedSet(swapped, described.training)


def _as_bytes(image: Array, pair: ImagePair) -> NDArray[np.uint8]:
    scaled = np.clip((image - pair.low) / pair.data_range, 0, 1) * 255
    return np.asarray(np.rint(scaled), np.uint8)


def _places(pair: ImagePair, mask: Array, axis: int) -> NDArray[np.int_]:
    """Choose up to 16 slices that show the body, evenly spread."""
    shown = mask.any(axis=tuple(other for other in range(3) if other != axis))
    found = np.flatnonzero(shown & pair.synthetic if axis == 0 else shown)
    wanted = min(2 * COUNT, len(found))
    return found[np.linspace(0, len(found) - 1, wanted).round().astype(int)] if wanted else found


def _window(image: NDArray[np.uint8], centre: NDArray[np.int_]) -> NDArray[np.uint8]:
    margin = SIZE // 2
    row, column = centre
    return np.pad(image, margin)[row : row + SIZE, column : column + SIZE]


def _collect(cases: Mapping[str, Sequence[Array]], kind: int, plane: str) -> Windows:
    found = list(_pieces(cases, kind, plane))
    pixels = [one for _, one in found] or [np.zeros((0, SIZE, SIZE), np.uint8)]
    subjects = np.repeat([subject for subject, _ in found], [len(one) for _, one in found])
    return Windows(np.concatenate(pixels), subjects.astype(str))


def _pieces(
    cases: Mapping[str, Sequence[Array]], kind: int, plane: str
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for subject, own in cases.items():
        for one in own:
            for axis in PLANES[plane]:
                windows = one[kind, axis]
                there = windows[np.ptp(windows, axis=(1, 2)) > 0]
                yield subject, there.astype(np.uint8)
