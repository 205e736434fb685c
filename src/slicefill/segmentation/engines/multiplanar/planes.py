"""Planes of any orientation through a volume: drawn to learn from, and stacked to predict.

Orientations are rotations `(3, 3)` in mm: the columns are the directions of a plane's normal, of
its rows and of its columns, in the order slices, rows, columns of the volume.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.sampling import Drawing, Pool, Sampler, Source
from slicefill.segmentation.scans import Scan, ScanPromise
from slicefill.types import Array, Floats, Lazy

Positions = NDArray[np.float64]
"""Where to sample, in voxels: slices, rows, columns, `(3, ...)`."""


def orientations(count: int) -> NDArray[np.float64]:
    """Return so many fixed orientations at random, `(count, 3, 3)`; more begin with the same."""
    rng = np.random.default_rng(0)
    return np.stack([Rotation.random(random_state=rng).as_matrix() for _ in range(count)])


def lattice(
    rotation: NDArray[np.float64],
    shape: tuple[int, ...],
    spacing: NDArray[np.float64],
    pitch: float,
) -> Positions:
    """Positions of a rotated grid that covers a volume, `(3, D', H', W')`, in its voxels.

    Args:
        rotation: `(3, 3)`.
        shape: Of the volume, `(D, H, W)`.
        spacing: Of the volume, `(3,)`, mm.
        pitch: Of the grid, mm.
    """
    extent = (np.array(shape) - 1) * spacing
    sizes = np.ceil(np.abs(rotation).T @ extent / pitch - 1e-9).astype(int) + 1
    return _positions(rotation, sizes, (np.array(shape) - 1) / 2, spacing, pitch)


def inverse_lattice(
    rotation: NDArray[np.float64],
    shape: tuple[int, ...],
    spacing: NDArray[np.float64],
    sizes: tuple[int, ...],
    pitch: float,
) -> Positions:
    """Positions of the voxels of a volume, `(3, D, H, W)`, in those of its `lattice`.

    Args:
        rotation: As of the lattice.
        shape: Of the volume.
        spacing: Of the volume, mm.
        sizes: Of the lattice, `(D', H', W')`.
        pitch: Of the lattice, mm.
    """
    centre = (np.array(sizes) - 1) / 2
    voxels = np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1) - (np.array(shape) - 1) / 2
    return np.moveaxis((voxels * spacing) @ rotation / pitch + centre, -1, 0)


def _positions(
    rotation: NDArray[np.float64],
    sizes: Array,
    centre: Array,
    spacing: NDArray[np.float64],
    pitch: float,
) -> Positions:
    steps = np.moveaxis(np.indices(tuple(sizes), dtype=np.float64), 0, -1) - (sizes - 1) / 2
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
        self._plane, self._pitch = np.array([1, *drawing.patch]), pitch
        self._foreground = drawing.foreground_fraction

    def cut(
        self, source: Source, pool: Pool, rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.int16], Floats]:
        """Cut a plane: image `(C, h, w)`, class indices and weights `(h, w)`."""
        rotation = Rotation.random(random_state=rng).as_matrix()
        centre = self._centre(source, pool, rng)
        where = _positions(rotation, self._plane, centre, source.spacing, self._pitch)[:, 0]
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
        fused = sum(_predict_turned(flat, scan, turn, pitch) for turn in turns)
        return np.asarray(fused / count, np.float32)

    return predict


def _predict_turned(
    flat: Callable[[Scan], Floats], scan: Scan, rotation: NDArray[np.float64], pitch: float
) -> Floats:
    shape = scan.label.shape
    there = lattice(rotation, shape, scan.spacing, pitch)
    image = sample(scan.image.swapaxes(0, 1), there).swapaxes(0, 1)
    turned = replace(scan, image=np.ascontiguousarray(image), spacing=np.full(3, pitch))
    probabilities = flat(turned)
    back = inverse_lattice(rotation, shape, scan.spacing, there.shape[1:], pitch)
    return sample(probabilities, back)
