"""Interpolation along the slice axis: what every learned method has to beat.

Nearest, linear and cubic interpolation are linear in the slices, so each is one matrix from
the D slices to the (D - 1)·N synthetic ones. Labels use the same matrix, as votes per id.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.interpolate import CubicSpline
from scipy.ndimage import uniform_filter

from slicefill.imputation.areas import LabelAreas, raise_to_area
from slicefill.imputation.distances import across_intervals, break_ties, signed_distances
from slicefill.params import EndParams, ImputationParams
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array, Checkpoint, Floats, Method, Stack, SyntheticSlices

_TIE = 1e-4  # scores nearer to each other than this are tied
_YIELDS = 2 * _TIE  # what the background's distance lacks: a tie goes to the label
_SMOOTH = 0.01  # weight of the votes around a pixel: they decide what is tied but for rounding
_ENDS = EndParams()


class Params(BaseParams):
    """Which rule of interpolation."""

    rule: str = Field(description="nearest, linear, cubic, bspline, shape_based or shape_matched")

    @field_validator("rule")
    @classmethod
    def _is_known(cls, rule: str) -> str:
        if rule not in _OPERATORS:
            msg = f"expected one of {', '.join(_OPERATORS)}, got {rule!r}"
            raise ValueError(msg)
        return rule


def with_image(
    image: Callable[[Stack, Sequence[float]], Floats], imputation: ImputationParams
) -> Method:
    """Return the method that makes the image in a way of its own.

    Args:
        image: From a stack and positions, `(D - 1, N, C, H, W)`, intensities.
        imputation: Of the rest, labels and confidence, which are those of `shape_matched`.
    """

    def impute(stack: Stack, positions: Sequence[float], _: np.random.Generator) -> SyntheticSlices:
        plain = impute_classically("shape_matched", stack, positions, imputation.label_ends)
        return replace(plain, image=image(stack, positions))

    return impute


def load(params: Params, checkpoint: Checkpoint | None, imputation: ImputationParams) -> Method:
    """Prepare interpolation by one rule (`MethodFile`); there is nothing to read."""
    return partial(_impute, params.rule, imputation.label_ends)


def _impute(
    rule: str, ends: EndParams, stack: Stack, positions: Sequence[float], rng: np.random.Generator
) -> SyntheticSlices:
    return impute_classically(rule, stack, positions, ends)


def impute_classically(
    rule: str, stack: Stack, positions: Sequence[float], ends: EndParams = _ENDS
) -> SyntheticSlices:
    """Impute every interval without motion.

    Images: `nearest` copies the nearer slice, `linear` blends two, `cubic` is the not-a-knot
    spline through all slices (fewer than four: the parabola or line through them), `bspline` the
    cubic spline of slices that are mirrored at both ends, and `shape_based` and `shape_matched` are
    `linear`.

    Labels: `nearest` copies. `linear` and `cubic` interpolate the mask of each id and take the
    id with most votes, as thresholding at 0.5 would; where votes are tied half-way, those of the
    3 × 3 pixels decide. `shape_based` interpolates the signed in-plane distance to the outline of
    each id linearly and takes the largest (`imputation.distances`). `shape_matched` then shifts
    the distances of each id so that its area runs between the acquired ones, and estimates where
    labels end (`imputation.areas`). Of tied ids the one on the nearer slice wins (at t = 0.5 the
    first slice), save that by `shape_based` the background yields to any label.

    Areas run through the true positions of uneven slices (`Stack.at`). Splines take these for even
    ones: through the true positions they are farther from real scans.

    Args:
        rule: `nearest`, `linear`, `cubic`, `bspline`, `shape_based` or `shape_matched`.
        stack: At least two slices.
        positions: t of the synthetic slices of each interval, in (0, 1); 0 is the first slice.
        ends: Where objects end, of `shape_matched`.

    Returns:
        The synthetic slices. Confidence is 1 - |first - second| on the network's [0, 1] scale,
        averaged over channels: where the neighbours agree, no motion is needed. It is read-only
        and the same for every t. Label ids are among those of the two neighbours, in the dtype
        given.

    Example:
        A quarter of the way from 0 to 8:

        >>> image = np.array([0, 8], np.float32).reshape(2, 1, 1, 1)
        >>> stack = Stack(image, window=np.array([[0.0, 10.0]]))
        >>> made = impute_classically("linear", stack, [0.25])
        >>> made.image.item(), round(made.confidence.item(), 2)
        (2.0, 0.2)
    """
    depth = len(stack.image)
    if depth < 2:
        msg = f"a stack of {depth} slice has no interval to impute: give at least 2 slices"
        raise ValueError(msg)
    shape = (depth - 1, len(positions))
    where = _places(depth, positions)
    operator = slice_weights(rule, depth, positions)
    label = None
    if stack.label is not None:
        score = _score_by(rule, stack.label, positions, ends, at=stack.at)
        label = _elect(stack.label, where, score)
        label = label.reshape(*shape, *stack.label.shape[1:])
    image = _apply(operator, stack.image).reshape(*shape, *stack.image.shape[1:])
    return SyntheticSlices(image, _agreement(stack, len(positions)), label)


def slice_weights(rule: str, depth: int, positions: Sequence[float]) -> Floats:
    """Share of each of D slices in every synthetic one, `((D - 1) · N, D)`, in order.

    Example:
        >>> slice_weights("linear", 3, [0.25]).tolist()
        [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25]]
    """
    return _OPERATORS[rule](depth, _places(depth, positions))


def sampling_weights(rule: str, depth: int, where: Array) -> Floats:
    """Share of each of D slices at places in units of the slice index, `(M, D)`.

    Before the first and beyond the last slice it is that slice.

    Example:
        >>> sampling_weights("linear", 2, np.array([0.25, 1.5])).tolist()
        [[0.75, 0.25], [0.0, 1.0]]
    """
    return _OPERATORS[rule](depth, np.clip(where, 0, depth - 1))


def _places(depth: int, positions: Sequence[float]) -> NDArray[np.float64]:
    """Positions of the synthetic slices in units of the slice index, `((D - 1) · N,)`."""
    return np.add.outer(np.arange(depth - 1), np.asarray(positions, dtype=np.float64)).ravel()


def _nearest(depth: int, where: Array) -> Floats:
    chosen: Floats = np.eye(depth, dtype=np.float32)[_nearer(where)]
    return chosen


def _linear(depth: int, where: Array) -> Floats:
    hats = 1 - np.abs(where[:, None] - np.arange(depth))
    return np.asarray(np.maximum(hats, 0), dtype=np.float32)


def _bspline(depth: int, where: Array) -> Floats:
    # mirrored ends: the spline is even about the first and the last slice, so it is level there
    spline = CubicSpline(np.arange(depth), np.eye(depth), bc_type="clamped")
    return np.asarray(spline(where), dtype=np.float32)


def _cubic(depth: int, where: Array) -> Floats:
    spline = CubicSpline(np.arange(depth), np.eye(depth), bc_type="not-a-knot")
    return np.asarray(spline(where), dtype=np.float32)


_OPERATORS: dict[str, Callable[[int, Array], Floats]] = {
    "nearest": _nearest,
    "linear": _linear,
    "cubic": _cubic,
    "bspline": _bspline,
    "shape_based": _linear,
    "shape_matched": _linear,
}

RULES = tuple(_OPERATORS)
"""What `Params.rule` can be."""


def _nearer(where: Array) -> NDArray[np.int_]:
    """Index of the nearer slice; halfway, the first."""
    return np.ceil(where - 0.5).astype(int)


def _apply(operator: Floats, slices: Array) -> Floats:
    """Apply `(M, D)` to `(D, ...)`."""
    flat = slices.reshape(len(slices), -1).astype(np.float32, copy=False)
    return np.asarray(operator @ flat).reshape(-1, *slices.shape[1:])


def _score_by(
    rule: str, label: Array, positions: Sequence[float], ends: EndParams, *, at: Array | None
) -> Callable[[int, Array], Floats]:
    """Return what interpolates the mask of an id, `(D, H, W)`, to its scores, `(M, H, W)`."""
    if rule == "shape_based":
        return lambda identity, mask: (
            _shape_score(positions, mask, signed_distances(mask)) - _YIELDS * (identity == 0)
        )
    if rule in ("bspline", "shape_matched"):
        areas = LabelAreas.count(label).interpolate(positions, ends, at)
        return lambda identity, mask: matched_score(positions, mask, areas[identity])
    operator = slice_weights(rule, len(label), positions)
    return lambda _, mask: _votes(operator, mask)


def _votes(operator: Floats, mask: Array) -> Floats:
    """Interpolated mask, `(M, H, W)`; half-way, where slices differ, the 3 × 3 around decide."""
    votes = _apply(operator, mask)
    smoothed: Floats = votes + _SMOOTH * uniform_filter(votes, (0, 3, 3), mode="nearest")
    return smoothed


def _shape_score(positions: Sequence[float], mask: Array, distances: Floats) -> Floats:
    """Interpolated signed distance, `(M, H, W)`, pixels."""
    first, last = (field[:, None] for field in across_intervals(mask, distances))
    t = np.asarray(positions, dtype=np.float32)[:, None, None]
    return np.asarray((1 - t) * first + t * last, dtype=np.float32).reshape(-1, *mask.shape[1:])


def matched_score(positions: Sequence[float], mask: Array, areas: NDArray[np.int_]) -> Floats:
    """Interpolate the signed distance of one id, shifted to its areas.

    Args:
        positions: t of the synthetic slices of each interval.
        mask: Where the id is, `(D, H, W)`.
        areas: Of every synthetic slice, pixels, `(D - 1, N)`.

    Returns:
        Pixels, `((D - 1) N, H, W)`; at least 0 on as many pixels as the area says.
    """
    scores = _shape_score(positions, mask, break_ties(signed_distances(mask)))
    for score, area in zip(scores, areas.ravel().tolist(), strict=True):
        score[:] = raise_to_area(score, area)
    return scores


def _elect(label: Array, where: Array, score_of: Callable[[int, Array], Floats]) -> Array:
    """Take the id whose interpolated field is largest: a running maximum, one id at a time."""
    nearer = label[_nearer(where)]
    elected = nearer.copy()
    best = np.full(nearer.shape, -np.inf, dtype=np.float32)
    for identity in np.unique(label).tolist():
        score = score_of(identity, label == identity)
        score += _TIE * (nearer == identity)
        wins = score > best
        best[wins] = score[wins]
        elected[wins] = identity
    return elected


def _agreement(stack: Stack, count: int) -> Floats:
    """1 - |difference of the two neighbours|, `(D - 1, count, H, W)`."""
    normalised = stack.normalised()
    confidence = 1 - np.abs(np.diff(normalised, axis=0)).mean(axis=1)
    return np.broadcast_to(confidence[:, None], (len(confidence), count, *confidence.shape[1:]))
