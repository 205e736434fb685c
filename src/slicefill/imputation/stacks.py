"""From a case to its stack of slices: the through-plane axis in front."""

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first
from slicefill.params.base import WindowParams
from slicefill.types import Array, Case, Stack, Volume


def stack_case(case: Case, axis: int, window: WindowParams) -> Stack:
    """View a case as slices.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        axis: Through-plane array axis.
        window: Which intensities become 0 and 1 in `Stack.normalised`.

    Raises:
        ValueError: If the window is empty, as for a constant image.
    """
    stored = slices_first(case.image.stored, axis).astype(np.float32)
    channels = stored[..., None] if stored.ndim == 3 else stored
    image = np.ascontiguousarray(np.moveaxis(channels, -1, 1))
    label = None if case.label is None else slices_first(case.label.stored, axis)
    return Stack(image, _window(image, case.image, window), label)


def to_dtype(array: Array, dtype: np.dtype) -> Array:
    """Round to the nearest number that `dtype` holds; out-of-range numbers are clipped.

    Example:
        >>> to_dtype(np.array([-3.0, 1.6, 300.0]), np.dtype("u1")).tolist()
        [0, 2, 255]
    """
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        array = np.clip(np.rint(array, dtype=np.float64), limits.min, limits.max)
    return array.astype(dtype)


def _window(image: Array, volume: Volume, params: WindowParams) -> NDArray[np.float64]:
    """Stored numbers shown as 0 and 1, per channel, `(C, 2)`."""
    if params.kind == "percentile":
        flat = np.moveaxis(image, 1, 0).reshape(image.shape[1], -1)
        window = np.percentile(flat, [params.low, params.high], axis=1).T
        sparse = window[:, 0] == window[:, 1]  # nearly all background: the whole range shows it
        window[sparse] = np.stack([flat.min(1), flat.max(1)], 1)[sparse]
    else:
        slope, intercept = volume.slope_intercept
        limits = sorted((np.array([params.low, params.high]) - intercept) / slope)
        window = np.tile(limits, (image.shape[1], 1))
    if not (window[:, 1] > window[:, 0]).all():
        msg = (
            f"window {params.kind} {params.low:g}..{params.high:g}: expected a range of stored "
            f"numbers, got {window.tolist()}; the image is constant there, widen the window"
        )
        raise ValueError(msg)
    return np.asarray(window, dtype=np.float64)
