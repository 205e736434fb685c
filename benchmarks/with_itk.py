"""Imputation of a case with its slices last by SimpleITK: by resampling, by registration.

Intensities are rounded to the stored type as slicefill does; labels take part by a linear vote.
"""

from functools import partial
from itertools import pairwise

import numpy as np
import SimpleITK

from slicefill.geometry import step_map
from slicefill.imputation.dense_grid import to_dtype
from slicefill.types import Array, Case, Volume

_ITERATIONS = 50  # of the demons, per pair of slices
_SMOOTHING = 1.5  # of their displacements, standard deviation, pixels


def resample(interpolator: int, case: Case, factor: int) -> Case:
    """Resample on the denser grid."""
    rows, columns, depth = case.image.stored.shape
    size, spacing = (rows, columns, (depth - 1) * factor + 1), (1.0, 1.0, 1 / factor)

    def denser(volume: Volume, kind: int) -> Volume:
        resampled = SimpleITK.Resample(
            SimpleITK.GetImageFromArray(volume.stored.T),
            size,
            interpolator=kind,
            outputSpacing=spacing,
            outputPixelType=SimpleITK.sitkFloat32,
        )
        return _on_denser_grid(volume, SimpleITK.GetArrayFromImage(resampled).T, factor)

    return Case(denser(case.image, interpolator), denser(case.label, SimpleITK.sitkLabelLinear))


def demons(case: Case, factor: int) -> Case:
    """Register neighbouring slices by demons, warp both by parts of the displacement, and blend.

    At t of the way from the first slice to the last, the intensity comes from both slices, the
    label from the nearer one.
    """
    image, label = (volume.stored.T for volume in (case.image, case.label))  # slices first
    depth = (len(image) - 1) * factor + 1
    imputed = np.empty((depth, *image.shape[1:]), np.float32)
    named = np.empty(imputed.shape, label.dtype)
    imputed[::factor], named[::factor] = image, label
    for interval, (first, last) in enumerate(pairwise(image.astype(np.float32))):
        motion = register(first, last)
        for n in range(1, factor):
            t, k = n / factor, interval * factor + n
            ways = -t * motion, (1 - t) * motion
            imputed[k] = (1 - t) * _moved(first, ways[0]) + t * _moved(last, ways[1])
            nearer = int(t > 0.5)
            named[k] = _moved(label[interval + nearer], ways[nearer], SimpleITK.sitkLabelLinear)
    volumes = (case.image, imputed.T), (case.label, named.T)
    return Case(*(_on_denser_grid(volume, stored, factor) for volume, stored in volumes))


IMPUTES = {
    "SimpleITK linear": partial(resample, SimpleITK.sitkLinear),
    "SimpleITK B-spline": partial(resample, SimpleITK.sitkBSpline),
    "SimpleITK demons": demons,
}


def register(first: Array, last: Array) -> Array:
    """Estimate the displacement from the first slice to the last one, pixels.

    Args:
        first: `(H, W)`, float32.
        last: The same of the other slice.

    Returns:
        Displacement along columns and rows, `(H, W, 2)`.
    """
    method = SimpleITK.FastSymmetricForcesDemonsRegistrationFilter()
    method.SetNumberOfIterations(_ITERATIONS)
    method.SetStandardDeviations(_SMOOTHING)
    field = method.Execute(*(SimpleITK.GetImageFromArray(pixels) for pixels in (first, last)))
    motion: Array = SimpleITK.GetArrayFromImage(field)
    return motion


def _moved(pixels: Array, motion: Array, interpolator: int = SimpleITK.sitkLinear) -> Array:
    """Warp backward; beyond the border, the value of the border is taken."""
    field = SimpleITK.GetImageFromArray(motion, isVector=True)
    moved = SimpleITK.Resample(
        SimpleITK.GetImageFromArray(pixels),
        SimpleITK.DisplacementFieldTransform(field),
        interpolator,
        useNearestNeighborExtrapolator=True,
    )
    return SimpleITK.GetArrayFromImage(moved)


def _on_denser_grid(volume: Volume, stored: Array, factor: int) -> Volume:
    return volume.with_stored(to_dtype(stored, volume.stored.dtype), step_map(2, 1 / factor))
