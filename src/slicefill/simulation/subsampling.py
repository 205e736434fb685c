"""Subsampling of isotropic scans to anisotropic ones whose removed slices are known: eq. (19)."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import nibabel as nib
import numpy as np
from pydantic import Field, model_validator

from slicefill.geometry import slices_back, slices_first, step_map, through_plane_axis, world_axis
from slicefill.ingestion.checks import BadCase
from slicefill.params.base import AxisName, Count, Params, Positive
from slicefill.types import Array, Case, Volume

_FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


class AnisotropizationParams(Params):
    """How an isotropic volume is subsampled: eq. (19), with an optional slice profile."""

    axis: AxisName
    factor: Count = Field(description="every factor-th slice is kept; 1 keeps all")
    profile: Literal["point", "box", "gaussian"] = Field(
        description="what an acquired slice averages"
    )
    fwhm: Positive | None = Field(description="width of the profile, mm; null for point")

    @model_validator(mode="after")
    def _profile_has_width(self) -> Self:
        if (self.profile == "point") != (self.fwhm is None):
            msg = f"profile {self.profile} with fwhm {self.fwhm}: only point has none"
            raise ValueError(msg)
        return self


def subsample(case: Case, params: AnisotropizationParams) -> Case:
    """Keep every factor-th slice of a case, averaged over a slice profile if one is set.

    With profile `point` the stored numbers of the kept slices are bit-identical. With `box` or
    `gaussian` a kept slice becomes the mean of its surroundings weighted by the profile, which
    is renormalised where it reaches beyond the scan, and rounded to the stored integer type.
    Label and maps are always sampled, so that ids never mix. Factor 1 is the identity, whatever
    the profile. Every kept slice keeps its place in the world.

    What a series lacked is no reference, even if it was filled in: absent slices are neither
    removed nor the last one kept, and those between stay absent.

    Args:
        case: Volumes `(I, J, K)` or `(I, J, K, C)`, any orientation; not modified.
        params: Axis, factor, profile and its full width at half maximum (mm).

    Returns:
        The anisotropic case. Its record gains `axis` (of the array), `factor`, `profile`, `fwhm_mm`
        and the source slices `kept`, `removed` (between kept ones: the reference for scores)
        and `excluded` (after the last kept one, which cannot be bracketed: never scored), `affine`;
        `removed_origins_mm` is the world position of the first voxel of each removed slice. If the
        case has absent slices, `guessed` lists them (their truth is unknown), and `absent_slices`
        those of them that are kept, by their place among the kept ones.

    Raises:
        ValueError: If fewer than two slices would be kept.
        BadCase: If the case has absent slices, and slices along another axis are to be removed.

    Reference:
        Slice Imputation, eq. (19): the slices R = {r : r mod factor ≠ 0} are removed.
    """
    axis = through_plane_axis(case.image.affine, params.axis)
    if params.factor == 1:  # there is nothing to average over
        params = params.model_copy(update={"profile": "point", "fwhm": None})
    kept = _kept(case, axis, params)
    image = _thick(case.image, axis, kept, params)
    label = None if case.label is None else _sampled(case.label, axis, kept)
    maps = {name: _sampled(volume, axis, kept) for name, volume in case.maps.items()}
    volumes = {"image": image} | ({} if label is None else {"label": label})
    record = _record(case, axis, kept, params) | {"voxels": _voxels(volumes)}
    return Case(image, label, maps, {**case.record, **record})


def _voxels(volumes: Mapping[str, Volume]) -> dict[str, Any]:
    """Say how large volumes are, for those who need not read them."""
    return {
        name: {"shape": volume.stored.shape, "dtype": volume.stored.dtype.str}
        for name, volume in volumes.items()
    }


def _kept(case: Case, axis: int, params: AnisotropizationParams) -> list[int]:
    """Number the slices that stay: every factor-th, up to the last one that is not absent."""
    depth, factor = case.image.stored.shape[axis], params.factor
    if case.absent and factor > 1 and axis != Case.ACROSS:
        own = world_axis(case.image.affine, Case.ACROSS)
        raise BadCase(
            expected=f"anisotropization.axis {own}, across the series, which lacks slices",
            found=f"{params.axis}",
            remedy=f"set it to {own} (in a Kedro run --params axis={own}), or leave the case out",
        )
    kept = list(range(0, depth, factor))
    while factor > 1 and kept[-1] in case.absent:
        kept.pop()
    if len(kept) < 2:
        msg = (
            f"anisotropization.factor {factor} keeps {len(kept)} of the {depth} slices along array "
            f"axis {axis}; at least 2 must stay: lower the factor to {max(1, depth - 1)} or less, "
            "or choose another axis"
        )
        raise ValueError(msg)
    return kept


def _record(
    case: Case, axis: int, kept: list[int], params: AnisotropizationParams
) -> dict[str, Any]:
    image, factor = case.image, params.factor
    removed = [r for r in range(kept[-1]) if r % factor and r not in case.absent]
    absent = [place for place, index in enumerate(kept) if index in case.absent]
    lacking = {}
    if "absent_slices" in case.record:
        lacking = {"absent_slices": absent, "guessed": list(case.absent)}
    origins = np.outer(removed, np.eye(3)[axis])
    return lacking | {
        "axis": axis,
        "affine": (image.affine @ step_map(axis, factor)).tolist(),
        "factor": factor,
        "profile": params.profile,
        "fwhm_mm": params.fwhm,
        "kept": kept,
        "removed": removed,
        "excluded": list(range(kept[-1] + 1, image.stored.shape[axis])),
        "removed_origins_mm": nib.affines.apply_affine(image.affine, origins).tolist(),
    }


def _sampled(volume: Volume, axis: int, kept: list[int]) -> Volume:
    slices = slices_first(volume.stored, axis)[kept]
    return volume.with_stored(slices_back(slices, axis).copy(), step_map(axis, kept[1]))


def _thick(image: Volume, axis: int, kept: list[int], params: AnisotropizationParams) -> Volume:
    sampled = _sampled(image, axis, kept)
    if params.fwhm is None:
        return sampled
    depth, pitch = image.stored.shape[axis], image.spacing[axis]
    distance = pitch * (np.arange(depth) - np.array(kept)[:, None])
    box = params.profile == "box"
    weights = _box(distance, pitch, params.fwhm) if box else _gaussian(distance, params.fwhm)
    return sampled.with_stored(_weighted_mean(image.stored, axis, weights))


def _weighted_mean(stored: Array, axis: int, weights: Array) -> Array:
    """Mean slices for weights `(kept, D)`, in the dtype of `stored`."""
    # The intensity scale is affine, so the mean of the stored numbers stands for the mean
    # intensity and need not go through slope and intercept.
    weights = weights / weights.sum(axis=1, keepdims=True)
    means = np.tensordot(weights, slices_first(stored, axis), axes=1)
    if np.issubdtype(stored.dtype, np.integer):
        means = np.rint(means)
    return slices_back(means, axis).astype(stored.dtype)


def _box(distance: Array, pitch: float, width: float) -> Array:
    """Overlap of slices `pitch` thick with an interval of `width` around 0, all in mm.

    Example:
        >>> _box(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), pitch=1.0, width=4.0)
        array([0.5, 1. , 1. , 1. , 0.5])
    """
    upper = np.minimum(distance + pitch / 2, width / 2)
    lower = np.maximum(distance - pitch / 2, -width / 2)
    overlap: Array = np.clip(upper - lower, 0, None)
    return overlap


def _gaussian(distance: Array, fwhm: float) -> Array:
    """Height of a Gaussian at a distance from its centre, in mm.

    Example:
        >>> _gaussian(np.array([0.0, 1.0]), fwhm=2.0).round(6)  # half at half the width
        array([1. , 0.5])
    """
    height: Array = np.exp(-((distance * _FWHM_PER_SIGMA / fwhm) ** 2) / 2)
    return height
