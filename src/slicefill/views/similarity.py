"""How alike two views are, everywhere and where acquired slices cross."""

from typing import Any

import nibabel as nib
import numpy as np

from slicefill.geometry import through_plane_axis
from slicefill.grids.cubic import find_body, first_channel
from slicefill.types import Array, Case

_BINS = 32  # of intensities
_NEAR = 0.5  # pixels from a slice of the view that still lie on it
_FEWEST = 50  # crossings, below which nothing is said


def correlation(first: Any, second: Any) -> float:
    """Pearson's correlation; 0 where one of them is constant."""
    if min(np.ptp(first), np.ptp(second)) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def correlation_ratio(first: Any, second: Any) -> float:
    """Share of the deviation of `first` that a function of `second` explains, [0, 1].

    Example:
        >>> values = np.linspace(-1, 1, 64)
        >>> round(abs(correlation(values**2, values)), 6)
        0.0
        >>> correlation_ratio(values**2, values) > 0.99
        True
    """
    if min(np.ptp(first), np.ptp(second)) == 0:
        return 0.0
    edges = np.linspace(second.min(), second.max(), _BINS + 1)[1:-1]
    bins = np.digitize(second, edges)
    counts = np.bincount(bins, minlength=_BINS)
    means = np.bincount(bins, first, _BINS) / np.maximum(counts, 1)
    between = float((counts * (means - first.mean()) ** 2).sum())
    return float(np.sqrt(between / ((first - first.mean()) ** 2).sum()))


def crossing_similarity(
    reference: Case, view: Case, matrix: Array, region: str = "image"
) -> float | None:
    """Correlation of the intensities where acquired slices of both views cross, [-1, 1].

    It does not depend on how far slices lie apart, as a similarity between slices does: nothing
    there lies between slices.

    Args:
        reference: Image `(I, J, K)`, or `(I, J, K, C)`, of which the first channel counts.
        view: The same.
        matrix: From the world of the reference to that of the view, `(4, 4)`, mm.
        region: In what of the reference they are compared: its body in the `image`, or its `label`.

    Returns:
        None where too few voxels cross.
    """
    from scipy.ndimage import map_coordinates

    own, other = first_channel(reference.image), first_channel(view.image)
    body = find_body(own)
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
    return correlation(here, there)
