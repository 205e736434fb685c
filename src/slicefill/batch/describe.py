"""What a scan is, what imputing it would do, and what is odd about it."""

import nibabel as nib
import numpy as np

from slicefill.batch.table import tell_spacing
from slicefill.geometry import through_plane_axis
from slicefill.imputation.grids import refuse_too_much, wanted_grid
from slicefill.imputation.orthogonal import SHEARED, is_refused_by_itk
from slicefill.ingestion.checks import BadCase, about
from slicefill.ingestion.layouts import RawCase
from slicefill.ingestion.reading import read_raw_case
from slicefill.ingestion.voxels import check_varies
from slicefill.params import ImputationParams
from slicefill.params.ingestion import own_scans
from slicefill.types import Case, Volume

_THICK = 2.0  # ratio of spacings below which imputing gains little
_CUBE = 1.1  # ratio up to which voxels are cubes
_MANY = 10.0  # ratio beyond which slices share little


def describe_scan(raw: RawCase) -> tuple[dict[str, str], bool]:
    """Describe a scan, read as imputation would read it.

    Returns:
        Text by name, in order, and whether imputation would accept the scan.

    Raises:
        BadCase: If it would be refused.
    """
    case = read_raw_case(raw, own_scans())
    with about(raw.id, raw.place):
        check_varies(case.image)
    image, params = case.image, ImputationParams()
    axis = through_plane_axis(image.affine, params.through_plane)
    outcome, accepted = _outcome(case, params)
    described = {
        "file": str(raw.place),
        "shape": " × ".join(map(str, image.stored.shape)),
        "spacing": f"{tell_spacing(image.spacing)} mm",
        "orientation": "".join(nib.aff2axcodes(image.affine)),
        "voxels": _voxels(image),
        "slices": f"across axis {axis} ({'LAS'[_world_axis(image, axis)]}), "
        f"{image.spacing[axis]:.3g} mm apart",
        "label": "none" if case.label is None else f"ids {_ids(case.label)}",
        "would be": outcome,
    }
    odd = _oddities(case, axis)
    return {**described, "odd": "; ".join(odd) or "nothing"}, accepted


def _voxels(image: Volume) -> str:
    values = image.intensities()
    slope, intercept = image.slope_intercept
    scaled = "" if (slope, intercept) == (1, 0) else f", slope {slope:g}, intercept {intercept:g}"
    return f"{image.stored.dtype.name}, {values.min():g} to {values.max():g}{scaled}"


def _world_axis(image: Volume, axis: int) -> int:
    return int(nib.io_orientation(image.affine)[axis, 0])


def _ids(label: Volume) -> str:
    ids = np.unique(label.stored).tolist()
    return ", ".join(map(str, ids[:12])) + (" …" if len(ids) > 12 else "")


def _outcome(case: Case, params: ImputationParams) -> tuple[str, bool]:
    """Say what imputing would make of a case, and whether it would accept it."""
    image, grid = case.image, wanted_grid(case.image, params)
    if grid.dense:
        return "left as it is: the slices are dense enough already", True
    depth, spacing = image.stored.shape[grid.axis], image.spacing.copy()
    spacing[grid.axis] = grid.spacing
    count = (grid.slices - 1) // (depth - 1) - 1
    try:
        refuse_too_much(case, params)
    except BadCase as error:
        return f"refused: {error}", False
    slices = f"{depth} → {grid.slices} slices, {count} in every interval"
    return f"{slices}, {tell_spacing(spacing)} mm", True


def _oddities(case: Case, axis: int) -> list[str]:
    """Say what a careful user would look at."""
    image = case.image
    across, in_plane = image.spacing[axis], np.delete(image.spacing, axis)
    ratio = across / in_plane.mean()
    odd = []
    if _CUBE < ratio < _THICK:
        odd.append(f"slices are only {ratio:.2f} pixels apart")
    if ratio > _MANY:
        odd.append(f"slices are {ratio:.1f} pixels apart and share little")
    if in_plane.max() > 1.05 * in_plane.min():
        odd.append(f"pixels are not square: {tell_spacing(in_plane)} mm")
    if is_refused_by_itk(image):
        odd.append(SHEARED)
    if image.stored.ndim == 4:
        odd.append(f"{image.stored.shape[3]} channels: all are imputed by the motion of the first")
    if image.stored.shape[axis] < 4:
        odd.append(f"only {image.stored.shape[axis]} slices")
    return odd
