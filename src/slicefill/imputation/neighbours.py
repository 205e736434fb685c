"""Acquired slices predicted from their neighbours: what a scan says of the methods.

Errors are of intensities of which the window is [0, 1], in the body, in all channels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicefill.imputation.methods.classical import slice_weights
from slicefill.imputation.optical_flow import dis_flow, impute_along
from slicefill.types import Array, Floats, Stack, SyntheticSlices

_PART, _FEW, _MANY = 0.1, 3, 10  # of the slices are tried, at least and at most
_BODY = 0.1  # of the window: above it, a voxel counts
_BLOCK = 32  # slices in the middle that say how rough the scan is
_FOUR = (4 / 6, -1 / 6)  # the cubic through the four nearest slices, at the one between them
_TINY = 1e-12  # a millionth of the window, squared: rounding

BEYOND = 1.0
"""Widths of the window: metal counts for no more than this beyond it."""
NO_WEIGHT = 1e-7
"""Of a slice in a cubic: what single precision would lose."""
Predict = Callable[[Stack], SyntheticSlices]
"""Imputes a stack half-way between its slices."""


@dataclass(frozen=True)
class Planes:
    """Imputation in reformatted planes.

    Attributes:
        impute: From a stack and positions, its image `(D - 1, N, C, H, W)`.
        share: Of the image, from the smoothness of the scan (dB) and the share of cubic
            interpolation; None: that of the planes that are shipped.
    """

    impute: Callable[[Stack, Sequence[float]], Floats]
    share: Callable[[float, float], float] | None = None


Teach = Callable[[Stack, int], tuple[Planes, dict[str, Any]]]
"""Lets planes learn from the slices of a stack, by a seed; what came of it is for the record."""


@dataclass(frozen=True)
class Neighbours:
    """Acquired slices predicted from their neighbours alone.

    Attributes:
        two: Mean squared error from two neighbours.
        four: From four neighbours.
        anisotropy: By how much the scan is rougher from pixel to pixel than from slice to slice,
            dB; `_roughness` says how that is measured.
    """

    two: float
    four: float
    anisotropy: float

    @property
    def smoothness(self) -> float:
        """By how much four neighbours predict better than two, dB."""
        return 10 * float(np.log10(self.two / self.four))


@dataclass(frozen=True, eq=False)
class Trial:
    """Slices of the body that every method predicted, voxel by voxel.

    Attributes:
        network: Error of the network, in widths of the window, `(n,)`.
        cubic: Error of cubic interpolation, `(n,)`.
        dis: Error of optical flow, `(n,)`.
        expected: Absolute error that the network expected there, `(n,)`; None where its confidence
            is no error.
        planes: Error of reformatted planes, `(n,)`; None where they take no part.
    """

    network: Floats
    cubic: Floats
    dis: Floats
    expected: Floats | None
    planes: Floats | None = None


def tried_slices(depth: int) -> int:
    """Number of acquired slices that every method tries to predict."""
    return min(int(np.clip(round(_PART * depth), _FEW, _MANY)), (depth - 1) // 2)


def try_all(stack: Stack, predict: Predict, planes: Planes | None = None) -> Trial:
    """Predict some slices of the body by every method.

    The slices lie in the middle of the scan; each is predicted from those beside it.
    """
    count = tried_slices(len(stack.image))
    start = (len(stack.image) - 1 - 2 * count) // 2
    kept = stack.image[start % 2 :: 2]
    run = slice(start // 2, start // 2 + count)
    sparse = Stack(np.ascontiguousarray(kept[run.start : run.stop + 1]), stack.window)
    truth = _scaled(stack.image[start + 1 : start + 2 * count : 2], stack)
    made = predict(sparse)
    images = [
        made.image,
        interpolate_cubic(kept, [0.5])[run],
        impute_along(dis_flow, sparse, [0.5]),
        *([planes.impute(sparse, [0.5])] if planes else []),
    ]
    shown = stack.normalised()[start : start + 2 * count + 1]
    body = _body(shown[:-1:2], shown[1::2], shown[2::2])
    expected = None
    if made.measure == "expected_error":
        expected = np.broadcast_to(1 - made.confidence, body.shape)[body]
    network, cubic, dis, *more = ((_scaled(each[:, 0], stack) - truth)[body] for each in images)
    return Trial(network, cubic, dis, expected, *more)


def predict_acquired(stack: Stack) -> Neighbours | None:
    """Predict slices from their two and four neighbours; None without a body."""
    shown = _scaled(stack.image, stack)
    two, four, voxels = 0.0, 0.0, 0
    for k in range(2, len(shown) - 2):
        near, far = shown[k - 1] + shown[k + 1], shown[k - 2] + shown[k + 2]
        body = _body(shown[k - 1], shown[k], shown[k + 1])
        two += float(np.square((shown[k] - near / 2)[body]).sum(dtype=np.float64))
        cubic = _FOUR[0] * near + _FOUR[1] * far
        four += float(np.square((shown[k] - cubic)[body]).sum(dtype=np.float64))
        voxels += int(body.sum())
    if voxels == 0:
        return None
    middle = max((len(shown) - _BLOCK) // 2, 0)
    block = shown[middle : middle + _BLOCK]
    anisotropy = 10 * float(np.log10(_roughness(block, (2, 3)) / _roughness(block, (0,))))
    return Neighbours(max(two / voxels, _TINY), max(four / voxels, _TINY), anisotropy)


def _roughness(slices: Floats, axes: Sequence[int]) -> float:
    """Energy of fourth differences along axes of `(n, C, H, W)`, per energy of second ones.

    From 0 of what is smooth to 16 of what alternates; that of white noise is 70 / 6. It depends
    neither on contrast nor on how much of the field is body.
    """
    second = [np.diff(slices, 2, axis) for axis in axes]
    fourth = [np.diff(each, 2, axis) for each, axis in zip(second, axes, strict=True)]
    energies = (sum(float(np.square(each).sum()) for each in own) for own in (fourth, second))
    return max(next(energies), _TINY) / max(next(energies), _TINY)


def _scaled(intensities: Floats, stack: Stack) -> Floats:
    """Scale `(n, C, H, W)` so that the window is [0, 1]; metal counts a width beyond it."""
    low, width = window_of(stack)
    scaled: Floats = np.clip((intensities - low) / width, -BEYOND, 1 + BEYOND)
    return scaled


def window_of(stack: Stack) -> tuple[Floats, Floats]:
    """Low end and width of the window, `(C, 1, 1)`."""
    low, high = stack.window.astype(np.float32).T[:, :, None, None]
    return low, high - low


def _body(*slices: Array) -> Array:
    """Where any of some slices in [0, 1] shows more than background."""
    return np.asarray(np.maximum.reduce(slices) > _BODY)


def interpolate_cubic(slices: Floats, positions: Sequence[float]) -> Floats:
    """Interpolate `(D, C, H, W)` by the cubic through all slices, `(D - 1, N, C, H, W)`."""
    return np.stack([*each_cubic(slices, positions)])


def each_cubic(slices: Floats, positions: Sequence[float]) -> Iterator[Floats]:
    """Interpolate one interval after the other as `interpolate_cubic` does, `(N, C, H, W)` each."""
    weights = slice_weights("cubic", len(slices), positions)
    shape = (len(positions), *slices.shape[1:])
    for own in weights.reshape(len(slices) - 1, len(positions), -1):
        used = np.flatnonzero(np.abs(own).max(0) > NO_WEIGHT)
        near = slice(used[0], used[-1] + 1)
        made: Floats = own[:, near] @ slices[near].reshape(near.stop - near.start, -1)
        yield made.reshape(shape)
