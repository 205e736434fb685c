"""Planes of any orientation through a volume: drawn to learn from, and stacked to predict.

Orientations are rotations `(3, 3)` in mm: the columns are the directions of a plane's normal, of
its rows and of its columns, in the order slices, rows, columns of the volume.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.sampling import Drawing, Pool, Sampler, Source
from slicefill.segmentation.scans import Scan, ScanPromise
from slicefill.types import Array, Floats, Lazy

_ROUNDING = 1e-9  # steps: what a rotation by nothing may leave
_SLAB = 16  # slices
Positions = NDArray[np.float64]
"""Where to sample, in voxels: slices, rows, columns, `(3, ...)`."""


def orientations(count: int) -> NDArray[np.float64]:
    """Return so many fixed orientations at random, `(count, 3, 3)`; more begin with the same."""
    rng = np.random.default_rng(0)
    return np.stack([Rotation.random(random_state=rng).as_matrix() for _ in range(count)])


@dataclass(frozen=True)
class Lattice:
    """A rotated grid of one pitch that covers a volume, with the same centre.

    Attributes:
        rotation: `(3, 3)`.
        shape: Of the volume, `(D, H, W)`.
        spacing: Of the volume, `(3,)`, mm.
        pitch: Of the grid, mm.
    """

    rotation: NDArray[np.float64]
    shape: tuple[int, ...]
    spacing: NDArray[np.float64]
    pitch: float

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the grid, `(D', H', W')`."""
        extent = (np.array(self.shape) - 1) * self.spacing
        steps = np.ceil(np.abs(self.rotation).T @ extent / self.pitch - _ROUNDING)
        return tuple((steps.astype(int) + 1).tolist())

    def there(self, first: int, last: int) -> Positions:
        """Positions of planes of the grid, `last` excluded, in voxels of the volume."""
        centre = (np.array(self.shape) - 1) / 2
        steps = _steps(self.sizes, first, last)
        return _positions(self.rotation, steps, centre, self.spacing, self.pitch)

    def back(self, first: int, last: int) -> Positions:
        """Positions of slices of the volume, `last` excluded, in those of the grid."""
        millimetres = _steps(self.shape, first, last) * self.spacing
        centre = (np.array(self.sizes) - 1) / 2
        return np.moveaxis(millimetres @ self.rotation / self.pitch + centre, -1, 0)


def _steps(sizes: Sequence[int], first: int, last: int) -> NDArray[np.float64]:
    """Steps from the centre of a grid to its points in some planes, `(n, H, W, 3)`."""
    steps = np.moveaxis(np.indices((last - first, *sizes[1:]), dtype=np.float64), 0, -1)
    return steps - ((np.array(sizes) - 1) / 2 - (first, 0, 0))


def _positions(
    rotation: NDArray[np.float64],
    steps: NDArray[np.float64],
    centre: Array,
    spacing: NDArray[np.float64],
    pitch: float,
) -> Positions:
    return np.moveaxis(steps * pitch @ rotation.T / spacing + centre, -1, 0)


def sample(channels: Floats, positions: Positions) -> Floats:
    """Interpolate `(C, D, H, W)` linearly at positions, `(C, ...)`; the edge goes on outside."""
    made = [map_coordinates(each, positions, order=1, mode="nearest") for each in channels]
    return np.stack(made).astype(np.float32)


class PlaneSampler(Sampler):
    """Draws planes of random orientation, all on voxels of one pitch.

    A plane is centred as a patch of any sampler is: on a voxel of an object, or on any voxel of a
    slice that can be drawn. Its image is interpolated linearly; label and weight are those of the
    nearest voxel.
    """

    def __init__(self, scans: dict[str, ScanPromise], drawing: Drawing, pitch: float) -> None:
        """Draw planes whose pixels are `pitch` mm wide."""
        super().__init__(scans, drawing)
        self._plane, self._pitch = (1, *drawing.patch), pitch
        self._foreground = drawing.foreground_fraction

    def cut(
        self, source: Source, pool: Pool, rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.int16], Floats]:
        """Cut a plane: image `(C, h, w)`, class indices and weights `(h, w)`."""
        rotation = Rotation.random(random_state=rng).as_matrix()
        centre = self._centre(source, pool, rng)
        steps = _steps(self._plane, 0, 1)
        where = _positions(rotation, steps, centre, source.spacing, self._pitch)[:, 0]
        label, weight = (
            map_coordinates(each, where, order=0, mode="constant")
            for each in (source.label, source.weight)
        )
        return sample(source.image, where), label, weight

    def _centre(self, source: Source, pool: Pool, rng: np.random.Generator) -> Array:
        if pool.foreground and rng.random() < self._foreground:
            voxels = pool.foreground[rng.integers(len(pool.foreground))]
            return np.asarray(voxels[rng.integers(len(voxels))])
        centre = rng.integers(source.label.shape)
        centre[0] = pool.slices[rng.integers(len(pool.slices))]
        return np.asarray(centre)


def acquired_labels_only(promise: ScanPromise) -> ScanPromise:
    """Let a scan teach by the voxels of its acquired slices alone."""
    return Lazy(_Masked(promise), f"{promise.fingerprint}/acquired")


class _Masked:
    """Makes a scan whose synthetic slices have weight 0; picklable."""

    def __init__(self, promise: ScanPromise) -> None:
        self._promise = promise

    def __call__(self) -> Scan:
        scan = self._promise.make()
        weight = scan.weight * scan.acquired[:, None, None]
        return replace(scan, weight=weight.astype(np.float32))


def fuse_planes(flat: Predictor, pitch: float, count: int) -> Predictor:
    """Predict slices of `count` rotated copies of a scan; return the mean, rotated back.

    Args:
        flat: Sees slices one by one, of pixels of `pitch`.
        pitch: mm.
        count: K.
    """
    turns = orientations(count)

    def predict(scan: Scan) -> Floats:
        grids = [Lattice(turn, scan.label.shape, scan.spacing, pitch) for turn in turns]
        fused = sum(_predict_turned(flat, scan, grid) for grid in grids)
        return np.asarray(fused / count, np.float32)

    return predict


def _predict_turned(flat: Predictor, scan: Scan, turn: Lattice) -> Floats:
    planes = _by_slabs(scan.image.swapaxes(0, 1), turn.there, turn.sizes[0])
    image = np.ascontiguousarray(planes.swapaxes(0, 1))
    probabilities = flat(replace(scan, image=image, spacing=np.full(3, turn.pitch)))
    return _by_slabs(probabilities, turn.back, turn.shape[0])


def _by_slabs(channels: Floats, positions: Callable[[int, int], Positions], count: int) -> Floats:
    """Sample so many slices, few at a time, since positions take six times the memory."""
    starts = range(0, count, _SLAB)
    made = [sample(channels, positions(k, min(k + _SLAB, count))) for k in starts]
    return np.concatenate(made, axis=1)
