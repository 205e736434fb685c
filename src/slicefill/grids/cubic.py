"""Views as registration sees them: SimpleITK images of cubic voxels, slices as thick as apart."""

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from slicefill.types import Array, Case, Floats, Volume

_ACROSS = 128  # voxels along the longest side of a field: more would not align it better
_BODY = 0.1  # of the range of intensities: above it lies the body
_RANGE = 99.9  # percentile taken as the highest intensity
_FEWEST = 4  # pixels that ITK's recursive Gaussian needs
_FEW = 4  # voxels apart at which an overlap is counted
_MARGIN = 8.0  # mm around the body that belong to it: where its outline is, is what registers


@dataclass(frozen=True)
class Seen:
    """A view as registration sees it.

    Attributes:
        image: SimpleITK image of cubic voxels, 0 to 1, float32.
        body: 1 in what is registered and a margin around it, uint8, on the same grid.
        centre: Of mass of the body, mm, LPS, `(3,)`.
    """

    image: Any
    body: Any
    centre: NDArray[np.float64]

    @property
    def pitch(self) -> float:
        """Of the voxels, mm."""
        return float(self.image.GetSpacing()[0])


def see(view: Case, region: str) -> Seen:
    """Resample a view to cubic voxels: linear in its plane, the nearest slice across it.

    Args:
        view: Image `(I, J, K)` or `(I, J, K, C)`, of which the first channel counts.
        region: What is registered: what lies in the `image`, or only its `label`, if it has one.

    Raises:
        ValueError: If there is nothing in the image or the label.
    """
    import SimpleITK

    values = _normalised(view.image)
    pitch = _pitch(view.image)
    image = _cubic(values, view.image, pitch, SimpleITK.sitkLinear)
    named = view.label if region == "label" else None
    inside = values > _BODY if named is None else named.stored > 0
    body = _cubic(inside.astype(np.float32), view.image, pitch, SimpleITK.sitkNearestNeighbor)
    mask = SimpleITK.GetArrayViewFromImage(body) > 0.5
    if not mask.any():
        expected = "voxels above a tenth of its range" if named is None else "a labelled voxel"
        msg = f"the view's {region} is empty: expected {expected}"
        raise ValueError(msg)
    weights = SimpleITK.GetArrayViewFromImage(image) * mask
    centre = _centre(weights if weights.any() else mask.astype(float), image)
    radius = max(1, round(_MARGIN / 2 / pitch)) if named is None else max(1, round(_MARGIN / pitch))
    wide = SimpleITK.BinaryDilate(
        SimpleITK.Cast(body > 0.5, SimpleITK.sitkUInt8), [radius] * 3, SimpleITK.sitkBall
    )
    return Seen(image, wide, centre)


def first_channel(image: Volume) -> Floats:
    """Return the intensities of the first channel, `(I, J, K)`."""
    values = image.intensities()
    return values[..., 0] if values.ndim == 4 else values


def find_body(values: Array) -> NDArray[np.bool_]:
    """Say where intensities exceed the lowest one by a tenth of their range."""
    return np.asarray(values > values.min() + _BODY * np.ptp(values))


def to_world(transform: Any) -> NDArray[np.float64]:
    """Return the matrix of a SimpleITK transform between worlds in RAS, `(4, 4)`, mm."""
    from slicefill.ingestion.itk import LPS_TO_RAS

    points = np.vstack([np.zeros(3), np.eye(3)])
    moved = np.array([transform.TransformPoint(point.tolist()) for point in points])
    turn = (moved[1:] - moved[0]).T
    lps = nib.affines.from_matvec(turn, moved[0])
    return np.asarray(LPS_TO_RAS @ lps @ LPS_TO_RAS)


def from_world(matrix: Array) -> Any:
    """Return the SimpleITK transform of a matrix between worlds in RAS; undoes `to_world`."""
    import SimpleITK

    from slicefill.ingestion.itk import LPS_TO_RAS

    lps = LPS_TO_RAS @ matrix @ LPS_TO_RAS
    transform = SimpleITK.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def overlap(fixed: Seen, moved: Seen, transform: Any) -> float:
    """Share of the reference's body that lies inside the field of the moved view."""
    import SimpleITK

    few = SimpleITK.Shrink(fixed.body, [_FEW] * 3)
    ones = SimpleITK.Image(moved.image.GetSize(), SimpleITK.sitkUInt8) + 1
    ones.CopyInformation(moved.image)
    inside = SimpleITK.Resample(ones, few, transform, SimpleITK.sitkNearestNeighbor)
    body = SimpleITK.GetArrayViewFromImage(few) > 0
    return float((SimpleITK.GetArrayViewFromImage(inside)[body] > 0).mean())


def _pitch(image: Volume) -> float:
    """Of the cubic voxels, mm: as the pixels, but no finer than a share of the field."""
    shape = np.array(image.stored.shape[:3])
    return float(max(image.spacing.min(), (image.spacing * shape).max() / _ACROSS))


def _normalised(image: Volume) -> Array:
    values = first_channel(image)
    low, high = float(values.min()), float(np.percentile(values, _RANGE))
    high = high if high > low else float(values.max())
    width = max(high - low, float(np.finfo(np.float32).tiny))
    return np.asarray(np.clip((values - low) / width, 0, 1))


def _cubic(values: Array, image: Volume, pitch: float, interpolator: int) -> Any:
    """Resample onto cubic voxels that fill the field, half a slice beyond the outer ones included.

    First within the slices, then across them.
    """
    import SimpleITK

    from slicefill.io.exchange import to_itk

    source = to_itk(image.with_stored(values.astype(np.float32), None, (1.0, 0.0)))
    spacing = np.array(source.GetSpacing())
    across = int(np.argmax(spacing))
    in_plane = np.full(3, pitch)
    in_plane[across] = spacing[across]
    for axis in set(range(3)) - {across}:
        if pitch > spacing[axis] and source.GetSize()[axis] >= _FEWEST:
            source = SimpleITK.RecursiveGaussian(source, pitch / 2, direction=axis)
    flat = _resampled(source, in_plane, interpolator)
    return _resampled(flat, np.full(3, pitch), SimpleITK.sitkNearestNeighbor)


def _resampled(source: Any, spacing: Array, interpolator: int) -> Any:
    """Resample onto voxels of another spacing that fill the same box, their centres inside it."""
    import SimpleITK

    old, size = np.array(source.GetSpacing()), np.array(source.GetSize())
    new_size = np.maximum(1, np.rint(old * size / spacing)).astype(int)
    start = (size - 1) / 2 - (new_size - 1) / 2 * spacing / old
    origin = source.TransformContinuousIndexToPhysicalPoint(start.tolist())
    return SimpleITK.Resample(
        source, new_size.tolist(), SimpleITK.Transform(), interpolator, origin,
        spacing.tolist(), source.GetDirection(), 0.0, SimpleITK.sitkFloat32, True,
    )  # fmt: skip


def _centre(weights: Array, image: Any) -> NDArray[np.float64]:
    """Centre of mass of an array as ITK hands it out, mm, LPS."""
    total = weights.sum(dtype=np.float64)
    index = []
    for axis in (2, 1, 0):
        sums = weights.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.float64)
        index.append(float(sums @ np.arange(len(sums)) / total))
    return np.array(image.TransformContinuousIndexToPhysicalPoint(index))
