"""Views sampled on the grid of the result: label ids with their shares, and how far slices are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array, Case, Floats, Volume

Box = tuple[slice, slice, slice]
"""Of voxels, with whole starts and stops."""
_NONE = 1e-5  # a share below it is none
_SLAB = 2**20  # voxels that are sampled at a time: bounds memory


@dataclass(frozen=True, eq=False)
class AlignedView:
    """A view, imputed onto cubic voxels, and where it lies in the world of the reference.

    Attributes:
        name: For messages.
        case: Image, and label or none.
        axis: Its array axis across slices.
        step: Slices of `case` per step of the series.
        acquired: Indices of its acquired slices in `case`, in order: every `step`-th one, but for
            those that the series lacks.
        matrix: From the world of the reference to that of the view, `(4, 4)`, mm.
    """

    name: str
    case: Case
    axis: int
    step: int
    acquired: Sequence[int]
    matrix: NDArray[np.float64]

    @property
    def slice_mm(self) -> float:
        """Distance of slices, where the series lacks none."""
        return float(self.case.image.spacing[self.axis]) * self.step

    @property
    def pixel_mm(self) -> float:
        """Mean pitch within slices."""
        return float(np.delete(self.case.image.spacing, self.axis).mean())

    @cached_property
    def intensities(self) -> Floats:
        """Of the image, read once."""
        return self.case.image.intensities()


@dataclass(frozen=True, eq=False)
class Placed:
    """Where voxels of the grid of the result lie among the acquired slices of a view.

    Attributes:
        place: In steps of the series from the first slice on, `(I, J, K)`; nan where the view does
            not cover the voxel. It covers what lies in its field, half a slice beyond its outer
            slices included.
        acquired: Places of the acquired slices, `(n,)`: whole numbers, in order.
        slice_mm: A step.
        pixel_mm: Pitch within them.
    """

    place: Floats
    acquired: Floats
    slice_mm: float
    pixel_mm: float

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Where the view tells something, `(I, J, K)`."""
        return ~np.isnan(self.place)

    @property
    def nearest(self) -> Array:
        """Number of the nearest acquired slice, `(I, J, K)`; any where the view does not cover."""
        return np.searchsorted((self.acquired[:-1] + self.acquired[1:]) / 2, self.place)

    def apart(self, number: Array) -> Floats:
        """Distance of voxels to acquired slices, mm, by number; nan where it does not cover."""
        return np.asarray(np.abs(self.place - self.acquired[number]) * self.slice_mm)


@dataclass(frozen=True, eq=False)
class Sampled(Placed):
    """Labels of a view on some voxels of the grid of the result.

    Attributes:
        ids: Of the up to eight voxels around, `(C, I, J, K)`.
        shares: Their shares by linear interpolation, which sum to 1, or to 0 where the view does
            not cover the voxel, `(C, I, J, K)`.
    """

    ids: Array
    shares: Floats


@dataclass(frozen=True, eq=False)
class SampledImage(Placed):
    """Intensities of a view on some voxels of the grid of the result.

    Attributes:
        values: Linear, `(I, J, K)`; nan where the view does not cover the voxel.
    """

    values: Floats


def sample(view: AlignedView, affine: Array, box: Box) -> Sampled:
    """Sample the labels of a view on a box of a grid.

    Args:
        view: With a label.
        affine: Voxel of the grid to the world of the reference, `(4, 4)`, mm.
        box: In voxels of the grid, with whole starts and stops.
    """
    if view.case.label is None:
        msg = f"{view.name}: expected a view with a label, got none"
        raise ValueError(msg)
    places, placed = _placed(view, affine, box)
    ids, shares = _around(view.case.label.stored, places)
    return Sampled(**vars(placed), ids=ids, shares=shares * placed.covered)


def sample_nothing(view: AlignedView, affine: Array, box: Box) -> Sampled:
    """Sample a view as if it had label 0 everywhere: what it covers; as `sample`."""
    placed = _placed(view, affine, box)[1]
    ids = np.zeros((1, *placed.place.shape), np.uint8)
    return Sampled(**vars(placed), ids=ids, shares=placed.covered[None].astype(np.float32))


def sample_image(view: AlignedView, affine: Array, box: Box) -> SampledImage:
    """Sample the intensities of a view on a box of a grid; as `sample`."""
    from scipy.ndimage import map_coordinates

    places, placed = _placed(view, affine, box)
    sampled = map_coordinates(view.intensities, places, order=1, mode="nearest")
    values = np.where(placed.covered, sampled, np.nan).astype(np.float32)
    return SampledImage(**vars(placed), values=values)


def slabs(box: Box) -> Iterator[Box]:
    """Divide a box along its first axis into boxes of about a million voxels."""
    first, *others = box
    across = max(1, int(np.prod([each.stop - each.start for each in others])))
    thick = max(1, _SLAB // across)
    for start in range(first.start, first.stop, thick):
        yield (slice(start, min(start + thick, first.stop)), others[0], others[1])


def _placed(view: AlignedView, affine: Array, box: Box) -> tuple[NDArray[np.float64], Placed]:
    """Voxel indices in the imputed view of a box of the grid, `(3, I, J, K)`, and their place."""
    to_view = np.linalg.inv(view.case.image.affine) @ view.matrix @ affine
    grid = [np.arange(each.start, each.stop, dtype=np.float64) for each in box]
    turn, offset = to_view[:3, :3], to_view[:3, 3]
    places = np.stack([
        turn[row, 0] * grid[0][:, None, None]
        + turn[row, 1] * grid[1][None, :, None]
        + turn[row, 2] * grid[2][None, None, :]
        + offset[row]
        for row in range(3)
    ])  # fmt: skip
    nearest = np.rint(places)
    places = np.where(np.abs(places - nearest) < _NONE, nearest, places)
    covered = np.ones(places.shape[1:], bool)
    for axis, size in enumerate(view.case.image.stored.shape[:3]):
        beyond = 0.5 * (view.step if axis == view.axis else 1)
        covered &= (places[axis] >= -beyond) & (places[axis] <= size - 1 + beyond)
    place = np.where(covered, places[view.axis] / view.step, np.nan).astype(np.float32)
    acquired = (np.asarray(view.acquired) / view.step).astype(np.float32)
    return places, Placed(place, acquired, view.slice_mm, view.pixel_mm)


def _around(stored: Array, places: Array) -> tuple[Array, Floats]:
    """Ids of the voxels around places and their linear shares; corners without any are left out."""
    sizes = np.array(stored.shape[:3])[:, None, None, None]
    inside = np.clip(places, 0, sizes - 1)
    low = np.floor(inside).astype(np.int32)
    part = (inside - low).astype(np.float32)
    ids, shares = [], []
    for corner in product((0, 1), repeat=3):
        share = np.ones(part.shape[1:], np.float32)
        for axis, side in enumerate(corner):
            share = share * (part[axis] if side else 1 - part[axis])
        if share.max() < _NONE:
            continue
        at = [np.minimum(low[a] + side, sizes[a] - 1) for a, side in enumerate(corner)]
        ids.append(stored[at[0], at[1], at[2]])
        shares.append(share)
    return np.stack(ids), np.stack(shares)


def whole(volume: Volume) -> Box:
    """Return the box of all voxels of a volume."""
    first, second, third = (slice(0, size) for size in volume.stored.shape[:3])
    return first, second, third
