"""Windows of slices, acquired plane and reformatted: what realism is judged from.

Real and synthetic windows lie at alternating places of the same subjects, so that nothing but the
way they came about tells them apart: not the subject, not the place, not the number format. Each
is cut around what it shows itself, so that a copy of another subject's slice is cut as that slice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import DescribedSet
from slicefill.metrics.image import ImagePair
from slicefill.types import Array

SIZE = 64
"""Rows and columns of a window, pixels."""
COUNT = 8
"""Most windows of a kind in each direction of a case, save those of training that may be copied."""
PLANES: Mapping[str, tuple[int, ...]] = {
    "in_plane": (0,),
    "reformatted": (1, 2),
    "rows": (1,),
    "columns": (2,),
}
"""Across which axes of `(D, H, W)` the slices of a plane lie; imputation shows in reformatted ones,
whose first axis is the one across slices."""
_MADE, _REAL, _CONTROL = range(3)
_EVERY = 0
"""The one kind of a case of training."""
_BODY = 25  # of 255: a window is centred on what is brighter, a tenth of the data range


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

    Where they lie, and whether the first one is synthetic or real, is drawn by the truth alone: it
    is the same for all methods, and follows no rhythm of the acquired slices.

    Args:
        pair: The slices. All count as synthetic in a case of training, its own imputation.
        mask: The body in all slices, bool, `(D, H, W)`.

    Returns:
        `(3, 3, 8, 64, 64)`: synthetic, real, and real at the places of the synthetic ones; across
        each axis; all 0 where a case has fewer places. In the acquired plane all are places of
        synthetic slices. Of a case of training `(1, 3, n, 64, 64)`: all slices that show the body.
        Nothing is resampled; what lies outside a slice is 0.
    """
    made, real = (_as_bytes(image, pair) for image in (pair.prediction, pair.truth))
    shown = [_shown(pair, mask, axis) for axis in range(3)]
    if pair.synthetic.all():
        return _cut_every(real, shown)
    cut = np.zeros((3, 3, COUNT, SIZE, SIZE), np.uint8)
    rng = np.random.default_rng(crc32(real.tobytes()))
    for axis in range(3):
        first = rng.integers(2)
        for number, place in enumerate(_draw_places(shown[axis], rng)):
            kinds = {_REAL: real} if (number + first) % 2 else {_MADE: made, _CONTROL: real}
            for kind, volume in kinds.items():
                cut[kind, axis, number // 2] = _window(volume.take(place, axis))
    return cut


@lru_cache(maxsize=8)
def gather(described: DescribedSet, plane: str) -> tuple[Windows, Windows, Windows]:
    """Collect the windows of a set: synthetic, real, and some of the training subjects."""
    return (
        _collect(described.cases, _MADE, plane),
        _collect(described.cases, _REAL, plane),
        _collect(described.training, _EVERY, plane, COUNT),
    )


@lru_cache(maxsize=1)  # it is large
def gather_training(described: DescribedSet, plane: str) -> Windows:
    """Collect the windows of all slices of the training subjects, which may have been copied."""
    return _collect(described.training, _EVERY, plane)


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


def _shown(pair: ImagePair, mask: Array, axis: int) -> NDArray[np.int_]:
    """Which slices across an axis show the body; in the acquired plane, synthetic ones."""
    shown = mask.any(axis=tuple(other for other in range(3) if other != axis))
    return np.flatnonzero(shown & pair.synthetic if axis == 0 else shown)


def _draw_places(shown: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.int_]:
    """Draw up to 16 slices, one of each of so many equal parts."""
    parts = np.array_split(shown, min(2 * COUNT, len(shown))) if len(shown) else []
    return np.array([rng.choice(part) for part in parts], np.int_)


def _cut_every(real: NDArray[np.uint8], shown: Sequence[NDArray[np.int_]]) -> NDArray[np.uint8]:
    cut = np.zeros((1, 3, max(map(len, shown)), SIZE, SIZE), np.uint8)
    for axis, places in enumerate(shown):
        for number, place in enumerate(places):
            cut[_EVERY, axis, number] = _window(real.take(place, axis))
    return cut


def _window(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut a window around what a slice shows, or around its middle if that is nothing."""
    body = image > _BODY
    places = np.argwhere(body if body.any() else np.ones_like(body))
    row, column = places.mean(axis=0).round().astype(int)
    return np.pad(image, SIZE // 2)[row : row + SIZE, column : column + SIZE]


def _collect(
    cases: Mapping[str, Sequence[Array]], kind: int, plane: str, most: int | None = None
) -> Windows:
    """Windows of a kind, of every case and axis at most so many, evenly spread."""
    found = [(subject, _thin(own, most)) for subject, own in _pieces(cases, kind, plane)]
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


def _thin(windows: NDArray[np.uint8], most: int | None) -> NDArray[np.uint8]:
    if most is None or len(windows) <= most:
        return windows
    kept: NDArray[np.uint8] = windows[np.linspace(0, len(windows) - 1, most).round().astype(int)]
    return kept
