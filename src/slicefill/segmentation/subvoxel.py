"""Finer segmentation by a trained network: the image shifted by parts of a voxel, k predictions.

Pellicer-Valero et al., Cost-free resolution enhancement in convolutional neural networks for
medical image segmentation. For a network without strides this is shift-and-stitch (Long et al.,
2015): the same weights, dilated by k, on the finer image.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, product
from typing import Literal

import numpy as np

from slicefill.imputation.methods.classical import sampling_weights
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.types import Array, Floats

Triple = tuple[int, int, int]
"""Along slices, rows and columns."""
Border = Literal["inside", "extend"]
"""Where the finer grid ends: at the last voxel centre, (d - 1)·k + 1 voxels; or, as published, at
d·k, of which the last k - 1 show the image extended by its edge."""


def lattice(factors: Triple) -> list[Triple]:
    """List the shifts, in parts of a voxel: every a with 0 <= a < k along each axis.

    Eq. (1) of the paper leaves the zero out of every factor; with it, the shifts give every fine
    voxel exactly one value, and there is nothing to vote on.

    Example:
        >>> lattice((2, 1, 2))
        [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1)]
    """
    slices, rows, columns = map(range, factors)
    return list(product(slices, rows, columns))


def subvoxel_shift(
    predict: Callable[[Floats], Array],
    image: Floats,
    factors: Triple,
    *,
    interpolation: Literal["linear", "cubic"] = "linear",
    border: Border = "inside",
) -> Array:
    """Segment an image on a finer grid: k1·k2·k3 predictions, interleaved.

    Args:
        predict: Any network: from an image to probabilities `(K, D, H, W)` or labels `(D, H, W)`.
        image: `(D, C, H, W)`.
        factors: How many times finer, along slices, rows and columns.
        interpolation: How the shifted image is sampled; beyond its edge it is the edge. Cubic
            values are clipped to the range of the image.
        border: Where the finer grid ends.

    Returns:
        What `predict` returns, on the finer grid. Its first voxel centre is that of the image:
        fine voxel m lies at m / k. Every k-th voxel along each axis is the prediction of the image
        itself.

    Raises:
        ValueError: If an axis is made finer that has a single voxel.
    """
    sizes = (image.shape[0], *image.shape[2:])
    for name, size, factor in zip(("slices", "rows", "columns"), sizes, factors, strict=True):
        if factor > 1 and size < 2:
            msg = f"{name}: expected two or more to shift between, got {size}; leave its factor 1"
            raise ValueError(msg)
    made = (
        (shift, predict(shift_image(image, shift, factors, interpolation)))
        for shift in lattice(factors)
    )
    return interleave(made, factors, border)


def shift_image(
    image: Floats, shift: Triple, factors: Triple, interpolation: Literal["linear", "cubic"]
) -> Floats:
    """Sample an image `(D, C, H, W)` at n + shift / factor: its content moves to lower indices."""
    shifted = image
    for axis, part, factor in zip((0, 2, 3), shift, factors, strict=True):
        if part:
            size = image.shape[axis]
            weights = sampling_weights(interpolation, size, np.arange(size) + part / factor)
            shifted = np.moveaxis(np.tensordot(weights, shifted, (1, axis)), 0, axis)
    if interpolation == "cubic":
        shifted = np.clip(shifted, image.min(), image.max())
    return np.ascontiguousarray(shifted, np.float32)


def interleave(
    parts: Iterable[tuple[Triple, Array]], factors: Triple, border: Border = "inside"
) -> Array:
    """Put predictions together: fine voxel m is voxel m div k of that shifted by m mod k.

    Args:
        parts: Shift and prediction, `(..., D, H, W)`, of the whole lattice, one at a time.
        factors: Along the last three axes.
        border: Where the finer grid ends.
    """
    fine: Array | None = None
    for shift, part in parts:
        if fine is None:
            sizes = zip(part.shape[-3:], factors, strict=True)
            ends = [(d - 1) * k + 1 if border == "inside" else d * k for d, k in sizes]
            fine = np.empty((*part.shape[:-3], *ends), part.dtype)
        i, j, k = (slice(a, None, step) for a, step in zip(shift, factors, strict=True))
        target = fine[..., i, j, k]
        depth, height, width = target.shape[-3:]
        target[:] = part[..., :depth, :height, :width]
    if fine is None:
        msg = "interleave: expected a prediction per shift, got none"
        raise ValueError(msg)
    return fine


def in_phases(predictor: Predictor, acquired: Floats | None = None) -> Predictor:
    """Segment an imputed scan as k scans of acquired spacing: shifts taken from imputed slices.

    Phase j holds the slices j, j + k, …; after the last one, the last acquired slice stands in, and
    what is predicted of it is dropped. So acquired slices keep the prediction of the acquired scan.

    Args:
        predictor: Of acquired slices.
        acquired: What it predicts of them, `(K, D, H, W)`, if that is known already.
    """

    def predict(scan: Scan) -> Floats:
        step = fine_step(scan)
        first = predictor(phase_of(scan, step, 0)) if acquired is None else acquired
        others = (((j, 0, 0), predictor(phase_of(scan, step, j))) for j in range(1, step))
        return interleave(chain([((0, 0, 0), first)], others), (step, 1, 1))

    return predict


def phase_of(scan: Scan, step: int, number: int) -> Scan:
    """Take every step-th slice from `number` on, D in all; phase 0 holds the acquired slices."""
    last = len(scan.image) - 1
    chosen = np.minimum(np.arange(0, last + 1, step) + number, last)
    return replace(
        scan,
        image=scan.image[chosen],
        label=scan.label[chosen],
        weight=scan.weight[chosen],
        acquired=np.ones(len(chosen), bool),
        spacing=scan.spacing * [step, 1, 1],
    )


def widest_step(scan: Scan) -> int:
    """Count the most steps from one acquired slice to the next; 1 where no slice is synthetic."""
    acquired = np.flatnonzero(scan.acquired)
    return int(np.diff(acquired).max()) if len(acquired) > 1 else 1


def fine_step(scan: Scan) -> int:
    """Count the steps from one acquired slice to the next; 1 where no slice is synthetic.

    Raises:
        ValueError: If acquired slices are not evenly spaced from the first slice to the last.
    """
    acquired, depth, step = np.flatnonzero(scan.acquired), len(scan.image), widest_step(scan)
    if not np.array_equal(acquired, np.arange(0, depth, step)) or (depth - 1) % step:
        msg = (
            "expected evenly spaced acquired slices, the first and the last slice among them, got "
            f"{acquired.tolist()} of {depth}: impute a count per interval, not imputation.exact"
        )
        raise ValueError(msg)
    return step


def jump(label: Array, step: int) -> float:
    """Say how unevenly labels `(M, H, W)` change from slice to slice of an interval.

    Returns:
        The largest mean change over the steps of an interval, divided by the mean change: 1 where
        labels change evenly, `step` where all changes at one place; 1 where nothing changes.

    Example:
        >>> jump(np.array([0, 0, 1, 1, 2]).reshape(-1, 1, 1), 2)
        2.0
    """
    changes = (label[1:] != label[:-1]).mean(axis=(1, 2))
    mean = changes.mean() if len(changes) else 0.0
    if mean == 0:
        return 1.0
    return float(max(changes[j::step].mean() for j in range(step)) / mean)
