"""Image quality of synthetic slices: slices in front, `(D, H, W)`, intensities as the scan's.

A metric over an empty mask is nan: nothing was measured, and the summary counts it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slicefill.metrics import Metric
from slicefill.types import Array, Floats


@dataclass(frozen=True, eq=False)
class ImagePair:
    """One channel of the slices that an imputed case and the real one both hold.

    Attributes:
        prediction: Acquired and synthetic slices in order, `(D, H, W)`.
        truth: The real slices at the same places.
        synthetic: Which slices are synthetic, bool, `(D,)`.
        low: Minimum of the whole real volume, without padding.
        data_range: Its 99.9th percentile minus its minimum.
        masks: Which voxels count, bool, `(D, H, W)`, by region: `body` and `field` (all that is
            no padding) of synthetic slices, `all_slices` (the field, of all slices) and `""`
            (the body, of all slices).
    """

    prediction: Array
    truth: Array
    synthetic: NDArray[np.bool_]
    low: float
    data_range: float
    masks: Mapping[str, NDArray[np.bool_]]

    @cached_property
    def similarity(self) -> Floats:
        """`ssim_map` of the pair, whose lowest value counts as 0; several regions need it."""
        return ssim_map(self.prediction - self.low, self.truth - self.low, self.data_range)


def psnr(prediction: Array, truth: Array, mask: Array, data_range: float) -> float:
    """Peak signal-to-noise ratio, 10·log10(range² / mean squared error); higher is better.

    Args:
        prediction: `(D, H, W)`.
        truth: Same shape and unit.
        mask: Which voxels count, bool, same shape.
        data_range: What counts as the peak, in the unit of the image.

    Returns:
        dB; inf when the two are equal.

    Example:
        An error of a tenth of the range everywhere is 20 dB:

        >>> flat = np.zeros((1, 2, 2))
        >>> psnr(flat + 10, flat, flat == 0, data_range=100)
        20.0
    """
    error = masked_mean(np.square(prediction - truth), mask)
    return float(10 * np.log10(data_range**2 / error)) if error else float("inf")


def ssim_map(prediction: Array, truth: Array, data_range: float) -> Floats:
    """Structural similarity of each pixel's surroundings in its slice, `(D, H, W)`, at most 1.

    Wang et al. (2004): Gaussian window of 11 × 11 pixels (σ 1.5), K1 0.01, K2 0.03, biased
    covariance; the slice is mirrored at its border.

    Args:
        prediction: `(D, H, W)`, H and W at least 11, the lowest value at 0: a constant added to
            both changes the result.
        truth: Same shape and unit.
        data_range: As in `psnr`.
    """
    from skimage.metrics import structural_similarity

    _, similarity = structural_similarity(  # type: ignore[no-untyped-call]  # untyped library
        prediction,
        truth,
        data_range=data_range,
        channel_axis=0,  # slices apart: 2D windows
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(similarity, dtype=np.float32)


def ssim(prediction: Array, truth: Array, mask: Array, data_range: float) -> float:
    """Mean of `ssim_map` over a mask; higher is better, 1 when the two are equal."""
    return masked_mean(ssim_map(prediction, truth, data_range), mask)


def mae(prediction: Array, truth: Array, mask: Array) -> float:
    """Mean absolute error over a mask, in the unit of the image; lower is better.

    Example:
        >>> mae(np.array([1.0, 5.0]), np.array([3.0, 3.0]), np.array([True, True]))
        2.0
    """
    return masked_mean(np.abs(prediction - truth), mask)


def bias(prediction: Array, truth: Array, mask: Array) -> float:
    """Mean signed error over a mask, in the unit of the image; 0 is best, positive too bright.

    Example:
        >>> bias(np.array([1.0, 5.0]), np.array([3.0, 3.0]), np.array([True, True]))
        0.0
    """
    return masked_mean(prediction - truth, mask)


def gradient_ratio(imputed: Array, truth: Array, mask: Array, axis: int = 0) -> float:
    """Gradient energy of an imputed volume along an axis over the real volume's.

    Energy is the mean of squared differences of consecutive voxels where both lie in the mask.
    1 is best: as sharp as the real volume. Interpolation blurs (below 1), copied slices and
    slice-to-slice noise exceed 1.

    Args:
        imputed: Acquired and synthetic slices in order, `(D, H, W)`.
        truth: The real slices at the same places.
        mask: Which voxels count, bool, same shape.
        axis: 0 across slices, 1 along columns of a slice, 2 along its rows.

    Example:
        Two equal steps of 2 instead of one of 4 (of two intervals) halve the energy:

        >>> step, ramp = (np.array(z, float).reshape(3, 1, 1) for z in ([0, 0, 4], [0, 2, 4]))
        >>> gradient_ratio(ramp, step, np.ones((3, 1, 1), bool))
        0.5
    """
    inside = np.moveaxis(mask, axis, 0)
    both = inside[1:] & inside[:-1]
    energy, real = (
        masked_mean(np.square(np.diff(np.moveaxis(volume, axis, 0), axis=0)), both)
        for volume in (imputed, truth)
    )
    return _ratio(energy, real)


def alternation(imputed: Array, synthetic: Array, mask: Array) -> float:
    """High-frequency energy of synthetic slices over that of acquired ones.

    The energy of a set of slices is the mean square of the in-plane Laplacian (4 neighbours,
    pixel units, mirrored at the border) over those voxels of them that lie in the mask. 1 is
    best: sharpness and noise do not flicker from slice to slice. Below 1 the synthetic slices
    are the smoother ones.

    Args:
        imputed: Acquired and synthetic slices, `(D, H, W)`.
        synthetic: Which slices are synthetic, bool, `(D,)`.
        mask: Which voxels count, bool, `(D, H, W)`.

    Example:
        The same pattern at half the amplitude has a quarter of the energy:

        >>> checker = np.indices((4, 4)).sum(axis=0) % 2
        >>> alternation(
        ...     np.stack([checker * 2.0, checker * 1.0]),
        ...     np.array([False, True]),
        ...     np.ones((2, 4, 4), bool),
        ... )
        0.25
    """
    from scipy.ndimage import laplace

    energy = np.square(laplace(imputed, axes=(1, 2)))
    made, acquired = (
        masked_mean(energy[slices], mask[slices]) for slices in (synthetic, ~synthetic)
    )
    return _ratio(made, acquired)


def masked_mean(values: Array, mask: Array) -> float:
    """Mean of the values in a mask of the same shape, summed in float64; nan if it is empty."""
    chosen = values[mask]
    return float(chosen.mean(dtype=np.float64)) if chosen.size else float("nan")


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else float("nan")


def _synthetic_gradient_ratio(pair: ImagePair, mask: Array, axis: int) -> float:
    """Gradient energy within synthetic slices over that of the real slices."""
    return gradient_ratio(pair.prediction, pair.truth, mask & pair.synthetic[:, None, None], axis)


_REGIONS = ("body", "field", "all_slices")
METRICS = (
    Metric(
        "psnr",
        lambda pair, mask: psnr(pair.prediction, pair.truth, mask, pair.data_range),
        label="PSNR",
        unit="dB",
        of=("images",),
        better="higher",
        ideal=math.inf,
        regions=_REGIONS,
    ),
    Metric(
        "ssim",
        lambda pair, mask: masked_mean(pair.similarity, mask),
        label="SSIM",
        of=("images",),
        better="higher",
        ideal=1,
        regions=_REGIONS,
    ),
    Metric(
        "mae",
        lambda pair, mask: mae(pair.prediction, pair.truth, mask),
        label="mean absolute error",
        unit="intensity",
        of=("images",),
        better="lower",
        ideal=0,
        regions=("body", "field"),
    ),
    Metric(
        "bias",
        lambda pair, mask: bias(pair.prediction, pair.truth, mask),
        label="bias",
        unit="intensity",
        of=("images",),
        better="nearer",
        ideal=0,
    ),
    Metric(
        "gradient_ratio",
        lambda pair, mask: gradient_ratio(pair.prediction, pair.truth, mask),
        label="gradient ratio",
        of=("images",),
        better="nearer",
        ideal=1,
        regions=("",),
    ),
    Metric(
        "row_gradient_ratio",
        lambda pair, mask: _synthetic_gradient_ratio(pair, mask, 2),
        label="gradient ratio along rows",
        of=("images",),
        better="nearer",
        ideal=1,
        regions=("",),
    ),
    Metric(
        "column_gradient_ratio",
        lambda pair, mask: _synthetic_gradient_ratio(pair, mask, 1),
        label="gradient ratio along columns",
        of=("images",),
        better="nearer",
        ideal=1,
        regions=("",),
    ),
    Metric(
        "alternation",
        lambda pair, mask: alternation(pair.prediction, pair.synthetic, mask),
        label="alternation",
        of=("images",),
        better="nearer",
        ideal=1,
        regions=("",),
    ),
)
