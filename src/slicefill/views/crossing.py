"""How alike two views are where their acquired slices cross: there nothing is between slices."""

import nibabel as nib
import numpy as np

from slicefill.geometry import through_plane_axis
from slicefill.types import Array, Case

_BODY = 0.1  # of the range of intensities of the reference: above it views are compared
_NEAR = 0.5  # pixels from a slice of the view that still lie on it
_FEWEST = 50  # crossings, below which nothing is said


def crossing_similarity(
    reference: Case, view: Case, matrix: Array, region: str = "image"
) -> float | None:
    """Correlation of the intensities where acquired slices of both views cross, [-1, 1].

    It does not depend on how far slices lie apart, as a similarity between slices does.

    Args:
        reference: Image `(I, J, K)`, or `(I, J, K, C)`, of which the first channel counts.
        view: The same.
        matrix: From the world of the reference to that of the view, `(4, 4)`, mm.
        region: In what of the reference they are compared: its body in the `image`, or its `label`.

    Returns:
        None where too few voxels cross.
    """
    from scipy.ndimage import map_coordinates

    own, other = _first(reference), _first(view)
    body = own > own.min() + _BODY * np.ptp(own)
    if region == "label" and reference.label is not None:
        body = reference.label.stored > 0
    inside = np.argwhere(body)
    to_view = np.linalg.inv(view.image.affine) @ matrix @ reference.image.affine
    places = nib.affines.apply_affine(to_view, inside).T
    axis = through_plane_axis(view.image.affine, "auto")
    nearest = np.rint(places[axis])
    spacing = view.image.spacing
    apart = np.abs(places[axis] - nearest) * spacing[axis]
    on_slice = apart <= _NEAR * float(np.delete(spacing, axis).mean())
    sizes = np.array(other.shape)[:, None]
    covered = ((places >= 0) & (places <= sizes - 1)).all(axis=0)
    chosen = on_slice & covered
    if chosen.sum() < _FEWEST:
        return None
    places[axis] = nearest
    there = map_coordinates(other, places[:, chosen], order=1, mode="nearest")
    here = own[tuple(inside[chosen].T)]
    if min(np.ptp(here), np.ptp(there)) == 0:
        return 0.0
    return float(np.corrcoef(here, there)[0, 1])


def _first(case: Case) -> Array:
    values = case.image.intensities()
    return np.asarray(values[..., 0] if values.ndim == 4 else values)
