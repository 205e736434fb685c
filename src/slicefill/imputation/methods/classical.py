"""Interpolation along the slice axis: what every learned method has to beat.

Nearest, linear and cubic interpolation are linear in the slices, so each is one matrix from
the D slices to the (D - 1)·N synthetic ones. Labels use the same matrix, as votes per id.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.interpolate import CubicSpline

from slicefill.imputation.distances import across_intervals, signed_distances
from slicefill.params import ImputationParams
from slicefill.params.base import Params as BaseParams
from slicefill.types import Array, Checkpoint, Floats, Method, Stack, SyntheticSlices

_TIE = 1e-4  # votes nearer to each other than this are tied


class Params(BaseParams):
    """Which rule of interpolation."""

    rule: str = Field(description="nearest, linear, cubic or shape_based")

    @field_validator("rule")
    @classmethod
    def _is_known(cls, rule: str) -> str:
        if rule not in _OPERATORS:
            msg = f"expected one of {', '.join(_OPERATORS)}, got {rule!r}"
            raise ValueError(msg)
        return rule


def load(params: Params, checkpoint: Checkpoint | None, imputation: ImputationParams) -> Method:
    """Prepare interpolation by one rule (`MethodFile`); there is nothing to read."""
    return partial(_impute, params.rule)


def _impute(
    rule: str, stack: Stack, positions: Sequence[float], rng: np.random.Generator
) -> SyntheticSlices:
    return impute_classically(rule, stack, positions)


def impute_classically(rule: str, stack: Stack, positions: Sequence[float]) -> SyntheticSlices:
    """Impute every interval without motion.

    Images: `nearest` copies the nearer slice, `linear` blends two, `cubic` is the not-a-knot
    spline through all slices (fewer than four: the parabola or line through them), and
    `shape_based` is `linear`.

    Labels: `nearest` copies. `linear` and `cubic` interpolate the mask of each id and take the
    id with most votes, as thresholding at 0.5 would. `shape_based` interpolates the signed
    in-plane distance to the outline of each id linearly and takes the largest
    (`interpolation.distances`). Of tied ids the one on the nearer slice wins (at t = 0.5 the
    first slice), save that the background yields to any label: else `linear` would be `nearest`.

    Args:
        rule: `nearest`, `linear`, `cubic` or `shape_based`.
        stack: At least two slices.
        positions: t of the synthetic slices of each interval, in (0, 1); 0 is the first slice.

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
        by_shape = rule == "shape_based"
        score = partial(_shape_score, positions) if by_shape else partial(_vote_score, operator)
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


def _places(depth: int, positions: Sequence[float]) -> NDArray[np.float64]:
    """Positions of the synthetic slices in units of the slice index, `((D - 1) · N,)`."""
    return np.add.outer(np.arange(depth - 1), np.asarray(positions, dtype=np.float64)).ravel()


def _nearest(depth: int, where: Array) -> Floats:
    chosen: Floats = np.eye(depth, dtype=np.float32)[_nearer(where)]
    return chosen


def _linear(depth: int, where: Array) -> Floats:
    hats = 1 - np.abs(where[:, None] - np.arange(depth))
    return np.asarray(np.maximum(hats, 0), dtype=np.float32)


def _cubic(depth: int, where: Array) -> Floats:
    spline = CubicSpline(np.arange(depth), np.eye(depth), bc_type="not-a-knot")
    return np.asarray(spline(where), dtype=np.float32)


_OPERATORS: dict[str, Callable[[int, Array], Floats]] = {
    "nearest": _nearest,
    "linear": _linear,
    "cubic": _cubic,
    "shape_based": _linear,
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


def _vote_score(operator: Floats, mask: Array) -> Floats:
    return _apply(operator, mask)


def _shape_score(positions: Sequence[float], mask: Array) -> Floats:
    """Interpolated signed distance, `(M, H, W)`, pixels."""
    first, last = (field[:, None] for field in across_intervals(mask, signed_distances(mask)))
    t = np.asarray(positions, dtype=np.float32)[:, None, None]
    return np.asarray((1 - t) * first + t * last, dtype=np.float32).reshape(-1, *mask.shape[1:])


def _elect(label: Array, where: Array, score_of: Callable[[Array], Floats]) -> Array:
    """Take the id whose interpolated field is largest: a running maximum, one id at a time."""
    nearer = label[_nearer(where)]
    elected = nearer.copy()
    best = np.full(nearer.shape, -np.inf, dtype=np.float32)
    for identity in np.unique(label):
        score = score_of(label == identity)
        score += _TIE * (nearer == identity)
        if identity == 0:
            score -= 2 * _TIE
        wins = score > best
        best[wins] = score[wins]
        elected[wins] = identity
    return elected


def _agreement(stack: Stack, count: int) -> Floats:
    """1 - |difference of the two neighbours|, `(D - 1, count, H, W)`."""
    normalised = stack.normalised()
    confidence = 1 - np.abs(np.diff(normalised, axis=0)).mean(axis=1)
    return np.broadcast_to(confidence[:, None], (len(confidence), count, *confidence.shape[1:]))
