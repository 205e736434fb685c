"""Planes of any orientation through a volume: drawn to learn from, and stacked to predict.

Orientations are rotations `(3, 3)` in mm: the columns are the directions of a plane's normal, of
its rows and of its columns, in the order slices, rows, columns of the volume.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.sampling import Drawing, Sampler
from slicefill.segmentation.scans import Scan, ScanPromise
from slicefill.segmentation.sources import Pool, Source
from slicefill.types import Array, Floats, Lazy

_ROUNDING = 1e-9  # steps: what a rotation by nothing may leave
_SLAB = 16  # slices
Positions = NDArray[np.float64]
"""Where to sample, in voxels: slices, rows, columns, `(3, ...)`."""


Roll = Literal["none", "any"]
"""Whether planes are turned and mirrored in themselves, too: a choice among `orientations`."""


def orientations(count: int, roll: Roll) -> NDArray[np.float64]:
    """Return so many fixed orientations at random, `(count, 3, 3)`; more begin with the same."""
    rng = np.random.default_rng(0)
    return np.stack([draw_orientation(rng, roll) for _ in range(count)])


def draw_orientation(rng: np.random.Generator, roll: Roll) -> NDArray[np.float64]:
    """Draw a normal, uniform on the sphere, and how the plane is turned around it, `(3, 3)`.

    Args:
        rng: Source of all randomness.
        roll: `any` draws any rotation. `none` takes the shortest one that tilts the slices into
            the plane, so that planes of like normals are alike and none is mirrored: up in a plane
            is where up is in a slice.
    """
    if roll == "any":
        turn = Rotation.random(random_state=rng)
    else:
        normal = rng.standard_normal(3)
        normal *= np.copysign(1 / np.linalg.norm(normal), normal[0])
        around = np.cross((1, 0, 0), normal)
        angle = np.arccos(np.clip(normal[0], -1, 1))
        unit = around / max(np.linalg.norm(around), np.finfo(float).tiny)
        turn = Rotation.from_rotvec(angle * unit)
    return np.asarray(turn.as_matrix())


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
        return self.box((first, 0, 0), (last - first, *self.sizes[1:]))

    def box(self, start: Sequence[int], shape: Sequence[int]) -> Positions:
        """Positions of a box of the grid, in voxels of the volume."""
        centre = (np.array(self.shape) - 1) / 2
        steps = _steps(self.sizes, start, shape) * self.pitch
        return np.moveaxis(steps @ self.rotation.T / self.spacing + centre, -1, 0)

    def back(self, first: int, last: int) -> Positions:
        """Positions of slices of the volume, `last` excluded, in those of the grid."""
        steps = _steps(self.shape, (first, 0, 0), (last - first, *self.shape[1:]))
        return self._of_steps(steps)

    def nearest(self, voxel: Array) -> NDArray[np.int64]:
        """Return the point of the grid nearest to a voxel, `(3,)`."""
        steps = voxel - (np.array(self.shape) - 1) / 2
        return np.rint(self._of_steps(steps)).astype(int)

    def _of_steps(self, steps: NDArray[np.float64]) -> Positions:
        centre = (np.array(self.sizes) - 1) / 2
        return np.moveaxis(steps * self.spacing @ self.rotation / self.pitch + centre, -1, 0)


def _steps(sizes: Sequence[int], start: Sequence[int], shape: Sequence[int]) -> Array:
    """Steps from the centre of a grid to the points of a box of it, `(d, h, w, 3)`."""
    points = np.moveaxis(np.indices(tuple(shape), dtype=np.float64), 0, -1)
    return np.asarray(points + np.asarray(start) - (np.array(sizes) - 1) / 2)


def sample(channels: Floats, positions: Positions) -> Floats:
    """Interpolate `(C, D, H, W)` linearly at positions, `(C, ...)`; the edge goes on outside."""
    made = [map_coordinates(each, positions, order=1, mode="nearest") for each in channels]
    return np.stack(made).astype(np.float32)


class PlaneSampler(Sampler):
    """Draws what a prediction sees: planes of the turned grid of a scan, of random orientation.

    A plane passes through a voxel of an object, or through any voxel of a slice that can be drawn.
    It is whole, with the same margin around it as in a prediction; where it is larger than the
    patch, a patch of it with that voxel. The image is interpolated linearly; label and weight are
    those of the nearest voxel.
    """

    def __init__(
        self, scans: dict[str, ScanPromise], drawing: Drawing, pitch: float, roll: Roll
    ) -> None:
        """Draw planes whose pixels are `pitch` mm wide."""
        super().__init__(scans, drawing)
        self._size = np.ones(3, int)  # scans stay as they are: padding would move their centre
        self._patch, self._pitch, self._roll = np.array(drawing.patch), pitch, roll
        self._foreground = drawing.foreground_fraction

    def cut(
        self, source: Source, pool: Pool, rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.int16], Floats]:
        """Cut a plane: image `(C, h, w)`, class indices and weights `(h, w)`."""
        rotation = draw_orientation(rng, self._roll)
        turned = Lattice(rotation, source.label.shape, source.spacing, self._pitch)
        plane, *middle = turned.nearest(self._through(source, pool, rng))
        size = np.array(turned.sizes[1:])
        shape = np.minimum(size, self._patch)
        start = np.clip(np.array(middle) - shape // 2, 0, size - shape)
        where = turned.box((plane, *start), (1, *shape))[:, 0]
        label, weight = (
            map_coordinates(each, where, order=0, mode="constant")
            for each in (source.label, source.weight)
        )
        before = (self._patch - shape) // 2
        margin = np.stack([before, self._patch - shape - before], axis=1)
        image = np.pad(sample(source.image, where), [(0, 0), *margin], mode="edge")
        return image, np.pad(label, margin), np.pad(weight, margin)

    def _through(self, source: Source, pool: Pool, rng: np.random.Generator) -> Array:
        if pool.foreground and rng.random() < self._foreground:
            voxels = pool.foreground[rng.integers(len(pool.foreground))]
            return np.asarray(voxels[rng.integers(len(voxels))])
        voxel = rng.integers(source.label.shape)
        voxel[0] = pool.slices[rng.integers(len(pool.slices))]
        return np.asarray(voxel)


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


def fuse_planes(flat: Predictor, pitch: float, count: int, roll: Roll) -> Predictor:
    """Predict slices of `count` rotated copies of a scan; return the mean, rotated back.

    Args:
        flat: Sees slices one by one, of pixels of `pitch`.
        pitch: mm.
        count: K.
        roll: As in training.
    """
    turns = orientations(count, roll)

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
