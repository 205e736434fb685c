"""The grid that a case is imputed onto: its slices, their distance, and what it would take."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import (
    AxisName,
    adaptive_count,
    nearest_count,
    spacing_count,
    through_plane_axis,
)
from slicefill.ingestion.checks import BadCase
from slicefill.params import ImputationParams
from slicefill.types import Array, Case, Volume

_WORLD_AXES: tuple[AxisName, ...] = ("L", "A", "S")
_SAME = 1e-3  # of a spacing or an interval: nearer counts as the same
_ROUNDING = 1e-6  # of a ratio of spacings: headers hold single precision
_LARGEST_DENOMINATOR = 1000
_MAPS = 3  # bytes per voxel of the mask and the confidence


@dataclass(frozen=True)
class WantedGrid:
    """What imputing a volume would make of its slices.

    Attributes:
        axis: The array axis across slices.
        spacing: Of the slices, mm.
        slices: How many there would be.
        dense: Whether there is nothing to impute.
    """

    axis: int
    spacing: float
    slices: int
    dense: bool


def wanted_grid(image: Volume, params: ImputationParams) -> WantedGrid:
    """Say what grid the parameters ask for."""
    axis = through_plane_axis(image.affine, params.through_plane)
    spacing, depth = float(image.spacing[axis]), image.stored.shape[axis]
    if is_dense(image.spacing, axis, params):
        return WantedGrid(axis, spacing, depth, dense=True)
    if params.exact and params.target_spacing is not None:
        slices = _exact_count(depth, params.target_spacing / spacing)
        return WantedGrid(axis, params.target_spacing, slices, dense=False)
    parts = slices_per_interval(image.spacing, axis, params) + 1
    return WantedGrid(axis, spacing / parts, (depth - 1) * parts + 1, dense=False)


def why_dense(image: Volume, params: ImputationParams) -> str:
    """Say why there is nothing to impute in a volume; "" if there is."""
    grid = wanted_grid(image, params)
    return f"slices {grid.spacing:.3g} mm apart are dense enough already" if grid.dense else ""


def is_dense(spacing: Array, axis: int, params: ImputationParams) -> bool:
    """Whether there is nothing to impute: the slices are as near to each other as is asked for.

    Args:
        spacing: Of the voxels along the three array axes, mm.
        axis: Across slices.
        params: Slices per interval, or their distance.
    """
    if params.exact and params.target_spacing is not None:
        return bool(abs(spacing[axis] / params.target_spacing - 1) <= _SAME)
    return slices_per_interval(spacing, axis, params) == 0


def slices_per_interval(spacing: Array, axis: int, params: ImputationParams) -> int:
    """Number of synthetic slices per interval by the configured rule, if the grid is not exact."""
    if params.target_spacing is not None:
        return spacing_count(float(spacing[axis]), params.target_spacing)
    if params.count == "N_A":
        return adaptive_count(spacing, axis)
    if params.count == "nearest":
        return nearest_count(spacing, axis)
    return int(params.count or 0)


def exact_places(depth: int, step: float) -> NDArray[np.float64]:
    """Return where the slices of an exact grid lie, in intervals from the first acquired slice.

    Args:
        depth: Acquired slices.
        step: Distance of the slices of the exact grid, in intervals between acquired ones.

    Returns:
        Whole numbers are acquired slices: what is within 0.001 of one counts as one.

    Example:
        >>> exact_places(3, 0.8).tolist()
        [0.0, 0.8, 1.6]
        >>> exact_places(3, 0.3999999).round(1).tolist()
        [0.0, 0.4, 0.8, 1.2, 1.6, 2.0]
    """
    places = np.arange(_exact_count(depth, step)) * _plain(step)
    nearest = np.rint(places)
    return np.where(np.abs(places - nearest) <= _SAME, nearest, places)


def _plain(step: float) -> float:
    """Take off the rounding of a header: 0.3999999 is 2 / 5, and intervals repeat."""
    plain = float(Fraction(step).limit_denominator(_LARGEST_DENOMINATOR))
    return plain if abs(plain / step - 1) <= _ROUNDING else step


def _exact_count(depth: int, step: float) -> int:
    return int(np.floor((depth - 1 + _SAME) / step)) + 1


def across_series(case: Case) -> AxisName:
    """Name the axis across the slices of a series that lacks some: its last array axis."""
    return _WORLD_AXES[int(nib.io_orientation(case.image.affine)[Case.ACROSS, 0])]


def refuse_too_much(case: Case, params: ImputationParams) -> None:
    """Refuse a case whose result would be too large, before any work.

    Raises:
        BadCase: Says how many slices and bytes it would take, and what allows it.
    """
    image = case.image
    if case.absent:
        params = params.model_copy(update={"through_plane": across_series(case)})
    grid = wanted_grid(image, params)
    across = image.stored.shape[grid.axis]
    pixels = int(np.prod(image.stored.shape[:3])) // across
    label = 0 if case.label is None else case.label.stored.itemsize
    per_slice = image.stored.nbytes // across + pixels * (label + _MAPS)
    gigabytes = per_slice * grid.slices / 1e9
    if grid.dense or (grid.slices <= params.most_slices and gigabytes <= params.most_gb):
        return
    slices, whole = max(grid.slices, params.most_slices), max(ceil(gigabytes), params.most_gb)
    raise BadCase(
        expected=f"at most {params.most_slices} slices and {params.most_gb:g} GB of output",
        found=f"{grid.slices} slices {grid.spacing:.3g} mm apart, {gigabytes:.3g} GB, from "
        f"{across} slices of {_times(image.spacing)} mm",
        remedy="correct the spacing in the header if it is wrong, ask for fewer slices (count, "
        f"spacing), or allow it: --most-slices {slices} --most-gb {whole:g} (in a Kedro run "
        f"--params imputation.most_slices={slices},imputation.most_gb={whole:g}; in Python "
        f"most_slices={slices}, most_gb={whole:g})",
    )


def _times(spacing: Array) -> str:
    return " x ".join(f"{pitch:.3g}" for pitch in spacing)
