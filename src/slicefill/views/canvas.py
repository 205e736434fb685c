"""The grid that views are fused on: that of the imputed reference, or wide enough for all views."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import nibabel as nib
import numpy as np

from slicefill.grids.sampled import AlignedView, Box, whole
from slicefill.types import Array, Case, Volume

Field = Literal["reference", "union"]
_LARGEST = 8  # times the voxels of the reference: views that lie further apart are no such views
_NONE = 1e-3  # of a voxel: less beyond a grid is rounding


@dataclass(frozen=True, eq=False)
class Canvas:
    """Where a case is fused.

    Attributes:
        case: The imputed reference on the grid of the result; around it the lowest intensity, no
            label, and all synthetic.
        reference: The view that stays.
        inner: The voxels of the grid that are those of the reference.
    """

    case: Case
    reference: AlignedView
    inner: Box

    def keep_acquired(self, made: Array, given: Array) -> None:
        """Put acquired slices of the reference into an array on the grid.

        Args:
            made: On the grid, changed in place.
            given: On the grid of the reference.
        """
        every: list[Any] = [slice(None)] * 3
        every[self.reference.axis] = list(self.reference.acquired)
        made[self.inner][tuple(every)] = given[tuple(every)]


def lay_canvas(views: Sequence[AlignedView], field: Field) -> Canvas:
    """Choose the grid.

    Args:
        views: Aligned, the reference first.
        field: `reference`: its grid as it is; `union`: its voxels, and as many more on each side as
            the fields of all views need.

    Raises:
        ValueError: If the union is far larger than the reference.
    """
    reference = views[0]
    box = whole(reference.case.image)
    if field == "reference":
        return Canvas(reference.case, reference, box)
    shape = np.array(reference.case.image.stored.shape[:3])
    low, high = _extent(views, shape)
    size = high - low
    if size.prod() > _LARGEST * shape.prod():
        msg = (
            f"field union: expected views that lie about one place, got a union of "
            f"{'x'.join(map(str, size))} voxels for a reference of {'x'.join(map(str, shape))}; "
            "leave out the view that lies far off, or set field to reference"
        )
        raise ValueError(msg)
    inner = [slice(int(-a), int(n - a)) for a, n in zip(low, shape, strict=True)]
    around = [(int(-a), int(b - n)) for a, b, n in zip(low, high, shape, strict=True)]
    return Canvas(_padded(reference.case, around), reference, (inner[0], inner[1], inner[2]))


def _extent(views: Sequence[AlignedView], shape: Array) -> tuple[Array, Array]:
    """First voxel and the one behind the last of what all views cover, in voxels of the first."""
    low, high = np.zeros(3, int), shape.astype(int)
    for view in views[1:]:
        to_grid = np.linalg.inv(views[0].case.image.affine) @ np.linalg.inv(view.matrix)
        beyond = [0.5 * (view.step if axis == view.axis else 1) for axis in range(3)]
        sizes = view.case.image.stored.shape[:3]
        ends = [(-b, n - 1 + b) for n, b in zip(sizes, beyond, strict=True)]
        corners = np.array(list(product(*ends)))
        placed = nib.affines.apply_affine(to_grid @ view.case.image.affine, corners)
        low = np.minimum(low, np.ceil(placed.min(0) - _NONE).astype(int))
        high = np.maximum(high, np.floor(placed.max(0) + _NONE).astype(int) + 1)
    return low, high


def _padded(case: Case, around: Sequence[tuple[int, int]]) -> Case:
    maps = {
        name: _wider(volume, around, int(name == "synthetic_mask"))
        for name, volume in case.maps.items()
    }
    label = None if case.label is None else _wider(case.label, around, 0)
    lowest = case.image.stored.min()
    return replace(case, image=_wider(case.image, around, lowest), label=label, maps=maps)


def _wider(volume: Volume, around: Sequence[tuple[int, int]], value: float) -> Volume:
    wide = [*around, *[(0, 0)] * (volume.stored.ndim - 3)]
    first = np.eye(4)
    first[:3, 3] = [-before for before, _ in around]
    stored = np.pad(volume.stored, wide, constant_values=volume.stored.dtype.type(value))
    return volume.with_stored(stored, first)


def reference_part(fused: Case, source: Case) -> Case:
    """Cut a case that was fused on a wider grid down to the grid of its imputed reference.

    Args:
        fused: With the record of a fusion, which says where the reference begins; or read from
            single files without a record, and then wider than the reference within its slices.
        source: The reference, as it was acquired.

    Returns:
        The part; the case itself where it is not wider.
    """
    steps = np.rint(source.image.spacing / fused.image.spacing)
    shape, wide = (np.array(each.image.stored.shape[:3]) for each in (source, fused))
    sizes = (shape - 1) * np.maximum(steps, 1) + 1
    begins = fused.record.get("fusion", {}).get("reference_begins_at")
    if begins is None:
        to_fused = np.linalg.inv(fused.image.affine) @ source.image.affine
        within = np.delete(wide > sizes, int(steps.argmax()))
        if "axis" in fused.record or not within.any():
            return fused
        begins = np.rint(to_fused[:3, 3])
    low = np.asarray(begins, int)
    high = low + sizes.astype(int)
    if (low < 0).any() or (high > wide).any() or (sizes == wide).all():
        return fused
    first = np.eye(4)
    first[:3, 3] = low
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))

    def cut(volume: Volume) -> Volume:
        return volume.with_stored(np.ascontiguousarray(volume.stored[box]), first)

    label = None if fused.label is None else cut(fused.label)
    maps = {name: cut(volume) for name, volume in fused.maps.items()}
    return replace(fused, image=cut(fused.image), label=label, maps=maps)
