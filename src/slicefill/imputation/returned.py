"""What a method returned fits the stack that it imputed, or is refused before it is written."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from slicefill.types import Array, Method, Stack, SyntheticSlices

_ROUNDING = 1e-3  # by which confidence may leave [0, 1]


def checked(method: Method, name: str) -> Method:
    """Return a method whose slices are checked.

    Args:
        method: Whose.
        name: How messages call it.
    """
    return partial(_impute, method, name)


def _impute(
    method: Method,
    name: str,
    stack: Stack,
    positions: Sequence[float],
    rng: np.random.Generator,
) -> SyntheticSlices:
    made = method(stack, positions, rng)
    check_synthetic(made, stack, len(positions), name)
    return made


def check_synthetic(made: SyntheticSlices, stack: Stack, count: int, name: str) -> None:
    """Refuse slices that do not fit a stack.

    Args:
        made: What a method returned.
        stack: D slices.
        count: N, slices of every interval.
        name: Of the method, for messages.

    Raises:
        TypeError: If these are no `SyntheticSlices`.
        ValueError: If a shape, a type or a value is not as `SyntheticSlices` says.
    """
    if not isinstance(made, SyntheticSlices):
        msg = f"{name}: expected SyntheticSlices, got {type(made).__name__}"
        raise TypeError(msg)
    depth, channels, *size = stack.image.shape
    rows = (depth - 1, count) if made.counts is None else (int(made.counts.sum()), 1)
    slices = (*rows, channels, *size)
    plain = (*rows, *size)
    for field, values, shape in [
        ("image", made.image, slices),
        ("confidence", made.confidence, plain),
        *((f"samples[{n}]", sample, slices) for n, sample in enumerate(made.samples)),
        *([("spread", made.spread, plain)] if made.spread is not None else []),
        *([("acquired", made.acquired, stack.image.shape)] if made.acquired is not None else []),
    ]:
        _check_floats(values, shape, f"{name}: {field}")
    if made.confidence.size:
        _check_range(made.confidence, (-_ROUNDING, 1 + _ROUNDING), f"{name}: confidence")
    if stack.label is None:
        return
    ids = min(int(stack.label.min()), 0), int(stack.label.max())
    labels = [("label", made.label)] if made.label is not None else []
    labels += [(f"sample_labels[{n}]", one) for n, one in enumerate(made.sample_labels)]
    for field, label in labels:
        _check_labels(label, plain, ids, f"{name}: {field}")


def _check_shape(values: Array, shape: tuple[int, ...], what: str) -> None:
    found = getattr(values, "shape", type(values).__name__)
    if found != shape:
        msg = f"{what}: expected the shape {shape}, got {found}: a slice per interval and position"
        raise ValueError(msg)


def _check_floats(values: Array, shape: tuple[int, ...], what: str) -> None:
    _check_shape(values, shape, what)
    if values.dtype.kind != "f":
        msg = f"{what}: expected floating-point numbers, got {values.dtype}: convert to float32"
        raise ValueError(msg)
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()  # reads them once; only where it is not finite is there more to do
    if not np.isfinite(total) and (wrong := int((~np.isfinite(values)).sum())):
        msg = f"{what}: expected finite numbers, got {wrong} that are not"
        raise ValueError(msg)


def _check_labels(label: Array, shape: tuple[int, ...], ids: tuple[int, int], what: str) -> None:
    _check_shape(label, shape, what)
    if label.dtype.kind not in "iub":
        msg = f"{what}: expected whole ids, got {label.dtype}: round and convert them"
        raise ValueError(msg)
    if label.size:
        _check_range(label, ids, what)


def _check_range(values: Array, within: tuple[float, float], what: str) -> None:
    low, high = values.min(), values.max()
    if not within[0] <= low <= high <= within[1]:
        msg = (
            f"{what}: expected numbers from {within[0]:g} to {within[1]:g}, got {low:g} to {high:g}"
        )
        raise ValueError(msg)
