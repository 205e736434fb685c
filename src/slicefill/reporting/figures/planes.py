"""Upright planes through a volume: which array slice to cut and how large it is in mm."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from numpy.typing import NDArray

from slicefill.types import Array

# In an array whose indices run to the left, posterior and inferior every plane, transposed, is
# upright (superior or anterior up) and in the radiological convention (patient's right on the
# left of the picture, face to the left).
_UPRIGHT = "LPI"
_NAMES = ("sagittal", "coronal", "axial")  # by the upright axis that is cut
_OPPOSITE = {"L": "R", "P": "A", "I": "S"}


@dataclass(frozen=True, eq=False)
class ViewSpec:
    """Where to cut volumes of one common grid, and what is known of that grid.

    Attributes:
        title: Heading of the figure.
        spacing: Voxel pitch along the three array axes, mm.
        orientation: Direction in which each array index runs, as `nibabel.aff2axcodes` gives
            it, for example `"RAS"`.
        axis: Through-plane array axis: 0, 1 or 2.
        acquired: Which slices along that axis were acquired, `(D,)`, bool.
        at: Voxel `(i, j, k)` through which the three planes go; choose it on a synthetic slice.
    """

    title: str
    spacing: tuple[float, float, float]
    orientation: str
    axis: int
    acquired: NDArray[np.bool_]
    at: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Plane:
    """One upright plane.

    Attributes:
        name: `axial`, `sagittal` or `coronal`.
        notes: Which slice it is and, where it lies in-plane, whether acquired or synthetic.
        size: Width and height, mm.
        ticks: Centres of the acquired slices along the width and along the height, mm from
            the upper left corner; empty along an in-plane direction.
        sides: Anatomical letter of the left and of the upper border.
        crossing: Where the other two planes cut this one: across and down, mm from the upper left
            corner.
    """

    name: str
    notes: tuple[str, ...]
    size: tuple[float, float]
    ticks: tuple[Array, Array]
    sides: tuple[str, str]
    crossing: tuple[float, float]
    _to_upright: Array
    _axis: int
    _index: int

    def cut(self, volume: Array) -> Array:
        """Take the plane out of a volume `(I, J, K)`: rows downwards, columns rightwards."""
        upright = apply_orientation(volume, self._to_upright)
        pixels: Array = np.take(upright, self._index, axis=self._axis).T
        return pixels


def upright_planes(spec: ViewSpec, shape: tuple[int, ...]) -> list[Plane]:
    """Lay the axial, sagittal and coronal plane through `spec.at`.

    Args:
        spec: The grid and the voxel.
        shape: Shape of the volumes, `(I, J, K)`.

    Raises:
        ValueError: If `spec` does not fit volumes of that shape.
    """
    _check(spec, shape)
    to_upright = ornt_transform(axcodes2ornt(spec.orientation), axcodes2ornt(_UPRIGHT))
    return [_plane(spec, shape, to_upright, axis) for axis in (2, 0, 1)]


def common_shape(volumes: Mapping[str, Array]) -> tuple[int, ...]:
    """Return the shape that all volumes share.

    Args:
        volumes: What it is to the volume; the names are used in the error.

    Raises:
        ValueError: If there is none, or they differ.
    """
    if not volumes:
        msg = "views: nothing to show: expected the truth or at least one imputed volume, got none"
        raise ValueError(msg)
    shapes = {name: volume.shape for name, volume in volumes.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        msg = f"views: volumes must lie on one grid, got {listed}: resample them to one grid first"
        raise ValueError(msg)
    return next(iter(shapes.values()))


def _plane(spec: ViewSpec, shape: tuple[int, ...], to_upright: Array, axis: int) -> Plane:
    stored = np.argsort(to_upright[:, 0])  # array axis of each upright axis
    flipped = to_upright[stored, 1] < 0
    columns, rows = (other for other in range(3) if other != axis)

    def ticks(upright: int) -> Array:
        if stored[upright] != spec.axis:
            return np.empty(0)
        acquired = spec.acquired[::-1] if flipped[upright] else spec.acquired
        return (np.flatnonzero(acquired) + 0.5) * spec.spacing[spec.axis]

    def extent(upright: int) -> float:
        return float(shape[stored[upright]] * spec.spacing[stored[upright]])

    def place(upright: int) -> float:
        before = float((spec.at[stored[upright]] + 0.5) * spec.spacing[stored[upright]])
        return extent(upright) - before if flipped[upright] else before

    at = spec.at[stored[axis]]
    in_plane = stored[axis] == spec.axis
    kind = ("acquired" if spec.acquired[at] else "synthetic",) if in_plane else ()
    return Plane(
        name=_NAMES[axis],
        notes=(f"slice {at}", *kind),
        size=(extent(columns), extent(rows)),
        ticks=(ticks(columns), ticks(rows)),
        sides=(_OPPOSITE[_UPRIGHT[columns]], _OPPOSITE[_UPRIGHT[rows]]),
        crossing=(place(columns), place(rows)),
        _to_upright=to_upright,
        _axis=axis,
        _index=shape[stored[axis]] - 1 - at if flipped[axis] else at,
    )


def _check(spec: ViewSpec, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        msg = f"views: volumes must have three axes (I, J, K), got shape {shape}: choose a channel"
        raise ValueError(msg)
    if len(spec.acquired) != shape[spec.axis]:
        msg = (
            f"views: ViewSpec.acquired must have one entry per slice along axis {spec.axis} "
            f"({shape[spec.axis]}), got {len(spec.acquired)}"
        )
        raise ValueError(msg)
    if not all(0 <= index < size for index, size in zip(spec.at, shape, strict=True)):
        msg = f"views: ViewSpec.at must be a voxel of a volume of shape {shape}, got {spec.at}"
        raise ValueError(msg)
