"""Checks of the numbers of a volume: their type, and that they can be computed with."""

import numpy as np

from slicefill.ingestion.checks import BadCase
from slicefill.types import Volume

_LARGEST = 1e18  # its square is a float32
_REPLACE = (
    "replace them by the lowest value, a[~numpy.isfinite(a)] = a[numpy.isfinite(a)].min(), "
    "or in a Kedro run: --params ingestion.not_finite=background"
)


def check_voxel_type(dtype: np.dtype) -> None:
    """Refuse RGB, structured and complex voxels."""
    if dtype.kind not in "iuf":
        raise BadCase(
            expected="one real number per voxel",
            found=f"voxels of type {dtype}",
            remedy="export the scan as grey values (integers or floats)",
        )


def check_varies(volume: Volume) -> None:
    """Refuse an image of which all intensities are the same, in single precision."""
    low, high = _range(volume)
    if low == high:
        raise BadCase(
            expected="voxels that differ in their first 7 digits",
            found=f"{low:g} in every voxel",
            remedy="take a large offset off; or export the scan again, or leave the case out: it "
            "shows nothing",
        )


def check_finite(volume: Volume, remedy: str = _REPLACE) -> None:
    """Refuse voxels that are NaN or infinite, or whose square is that in single precision."""
    low, high = _range(volume)
    if max(-low, high) <= _LARGEST:  # false of NaN
        return
    broken = volume.stored.size - np.count_nonzero(np.isfinite(volume.stored))
    raise BadCase(
        expected="finite voxels" if broken else f"intensities from -{_LARGEST:g} to {_LARGEST:g}",
        found=f"{broken} that are NaN or infinite" if broken else f"{low:g} to {high:g}",
        remedy=remedy if broken else "replace what marks voxels without a value, or rescale",
    )


def _range(volume: Volume) -> tuple[float, float]:
    """Lowest and highest intensity; NaN where a voxel is."""
    ends = np.array([volume.stored.min(), volume.stored.max()])
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = Volume(ends, volume.header).intensities()
    return float(scaled.min()), float(scaled.max())
