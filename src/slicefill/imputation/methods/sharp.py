"""Sharper slices at a price that is known: on the front between PSNR and sharpness.

Every method that errs little blurs: synthetic slices have a half to two thirds of the detail of
acquired ones, so that a scan alternates between sharp and soft. Here the detail of what another
method made is amplified until it is as strong as in the acquired slices, or until that costs what
was allowed, measured on acquired slices that are predicted from their neighbours.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field
from scipy.ndimage import gaussian_filter

from slicefill.imputation.methods import FOLDER
from slicefill.params.base import Params as BaseParams
from slicefill.params.base import Positive
from slicefill.plugins import System, find_system
from slicefill.types import Array, Floats, Method, Stack, SyntheticSlices

_TRIED = 8  # slices predicted from their neighbours: those in the middle of the scan
_TINY = 1e-12
_DIGITS = 4  # of gains in the record


class Params(BaseParams):
    """What is sharpened, and how far."""

    base: dict[str, Any] = Field(
        {"kind": "pretrained"},
        description="the method that is sharpened, an entry as in `methods` that is not trained",
    )
    most_loss: Positive = Field(
        0.07, description="dB that acquired slices, predicted from their neighbours, may lose"
    )
    sigma: Positive = Field(0.7, description="what is finer than this is detail, pixels")


def base(params: Params) -> System:
    """Return the method that is sharpened (`MethodFile`).

    Raises:
        ValueError: If there is no such method, or it has to be trained or is itself finished.
    """
    system = find_system(FOLDER, "base", params.base)
    if system.has("train") or system.has("finish"):
        msg = (
            "base: expected a method that is neither trained nor sharpened, such as pretrained, "
            f"dis or classical, got {system.kind}"
        )
        raise ValueError(msg)
    return system


def finish(
    params: Params, stack: Stack, method: Method, rng: np.random.Generator
) -> tuple[Method, dict[str, Any]]:
    """Return the base method with sharper slices, and what is known of them (`MethodFile`).

    Labels and confidence stay as they are. A scan of two slices stays as it is: nothing tells what
    sharpness costs.

    Args:
        params: How far.
        stack: All acquired slices of the scan.
        method: The base method.
        rng: For its trial.

    Returns:
        The method; and of every channel `most_gain`, by which share the detail may grow (None of
        two slices), and `gain`, by which it grew, at most, in what the method has made since.
    """
    most = _allowed(params, stack, method, rng)
    if most is None:
        return method, {"most_gain": None, "gain": None}
    told = {"most_gain": _rounded(most), "gain": [0.0] * len(most)}

    def impute(
        stack: Stack, positions: Sequence[float], rng: np.random.Generator
    ) -> SyntheticSlices:
        made = method(stack, positions, rng)
        if not positions:
            return made
        image, gain = sharpen(made.image, stack, most, params.sigma, counts=made.counts)
        told["gain"] = list(map(max, _rounded(gain), told["gain"]))
        return replace(made, image=image)

    return impute, told


def sharpen(
    image: Floats, stack: Stack, most: Floats, sigma: float, *, counts: Array | None = None
) -> tuple[Floats, Floats]:
    """Amplify the detail of synthetic slices to the strength that it has in acquired ones.

    Args:
        image: Synthetic slices, `(D - 1, N, C, H, W)`, or as `SyntheticSlices.counts` says.
        stack: Acquired slices.
        most: By which factor at most, less 1, of each channel, `(C,)`.
        sigma: Of the low-pass that detail is above, pixels.
        counts: Slices of every interval where that differs.

    Returns:
        Slices in the range of what they were and of the two acquired ones beside them; and by which
        share the detail of each channel grew, `(C,)`.
    """
    detail = _detail(image, sigma)
    wanted = _energy(_detail(stack.image, sigma))
    lacking = _matching(detail, _detail(detail, sigma), wanted)
    strength: Floats = np.clip(lacking, 0, most).astype(np.float32)
    sharper = image + strength[:, None, None] * detail
    intervals = np.arange(len(stack.image) - 1).repeat(1 if counts is None else counts)
    low, high = (_beside(stack.image, intervals, image, e) for e in (np.minimum, np.maximum))
    bounded: Floats = np.clip(sharper, low, high)
    return bounded, strength


def _beside(acquired: Floats, intervals: Array, image: Floats, extreme: np.ufunc) -> Floats:
    """Least or greatest of every slice and of the two beside it, `(D - 1, N, C, 1, 1)`."""
    own: Floats = extreme.reduce(image, axis=(3, 4), keepdims=True)
    ends = extreme.reduce(acquired, axis=(2, 3), keepdims=True)
    found: Floats = extreme(own, extreme(ends[:-1], ends[1:])[intervals, None])
    return found


def strongest(error: Floats, detail: Floats, most_loss: float) -> Floats:
    """How much of the detail may be added before the mean squared error has grown so far.

    Args:
        error: Predicted minus real, `(M, C, H, W)`.
        detail: Of what was predicted, the same shape.
        most_loss: dB of PSNR.

    Returns:
        Of each channel, at least 0, `(C,)`.

    Example:
        Detail that has nothing to do with the error and as much energy: a tenth of it in amplitude
        is a hundredth of it in energy, which is 0.043 dB.

        >>> error = np.array([[[[1.0, 1.0]]]])
        >>> strongest(error, np.array([[[[1.0, -1.0]]]]), 0.0432).round(2).tolist()
        [0.1]
    """
    allowed = _energy(error) * 10 ** (most_loss / 10)
    return _matching(error, detail, allowed)


def _matching(values: Floats, added: Floats, energy: Floats) -> Floats:
    """Which share of `added` gives `values` an energy, per channel; 0 where it has that already."""
    among = np.maximum(_energy(added), _TINY)
    between = _mean(values * added)
    room = np.maximum(energy - _energy(values), 0) * among
    found: Floats = np.maximum(np.sqrt(between**2 + room) - between, 0) / among
    return found


def _allowed(
    params: Params, stack: Stack, method: Method, rng: np.random.Generator
) -> Floats | None:
    """By how much detail may grow, by slices that are left out; None where there are none."""
    middle = len(stack.image) // 2
    slices = stack.image[max(0, middle - _TRIED) : middle + _TRIED + 1]
    if len(slices) < 3:
        return None
    sparse = replace(stack, image=slices[::2], label=None, at=None)
    found = method(sparse, [0.5], rng).image[:, 0]
    real = slices[1::2][: len(found)]
    return strongest(found - real, _detail(found, params.sigma), params.most_loss)


def _rounded(gain: Floats) -> list[float]:
    return [round(float(each), _DIGITS) for each in gain]


def _detail(slices: Floats, sigma: float) -> Floats:
    """What is finer than a Gaussian within slices, `(…, H, W)`."""
    smooth = gaussian_filter(slices, (*(0,) * (slices.ndim - 2), sigma, sigma), mode="nearest")
    detail: Floats = slices - smooth
    return detail


def _energy(slices: Floats) -> Floats:
    return _mean(np.square(slices))


def _mean(values: Floats) -> Floats:
    """Mean of each channel, of `(…, C, H, W)`, summed in double precision."""
    axes = (*range(values.ndim - 3), -2, -1)
    mean: Floats = np.mean(values, axis=axes, dtype=np.float64)
    return mean
