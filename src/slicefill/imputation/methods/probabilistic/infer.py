"""Samples of the slices that lie between acquired ones, and how far they are apart."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import ndtr, softmax

from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.probabilistic.drawing import (
    Sample,
    Sampler,
    draw_noise,
    draw_samples,
    find_spread,
)
from slicefill.imputation.methods.probabilistic.features import describe_images, describe_labels
from slicefill.imputation.methods.probabilistic.rest import Grain, draw_fields
from slicefill.params.imputation import EndParams
from slicefill.types import Array, Floats, Stack, SyntheticSlices

_GAUSS = float(np.sqrt(2 / np.pi))  # mean absolute value of an error whose variance is 1
_OUTLINES: Grain = (2.0, 3.0, 3.0)  # of the level at which outlines are drawn, voxels


def impute_by_sampling(
    sampler: Sampler,
    stack: Stack,
    positions: Sequence[float],
    rng: np.random.Generator,
    *,
    ends: EndParams,
) -> SyntheticSlices:
    """Impute every interval of a stack several times.

    One draw of the latents holds for the whole volume, and for all channels. To it, a sample adds
    what they leave open: a field as rough as errors are, so that samples are as far apart as
    `spread` says, and outlines that are drawn from the chances of the labels. `image` is the mean
    of the samples, `label` the most probable label over them; where labels were not learned from,
    or the stack has others, they are those of `shape_matched` and the samples have none.

    Args:
        sampler: The trained network.
        stack: At least two slices.
        positions: t of the synthetic slices of each interval, rising.
        rng: Two generators in the same state give the same samples.
        ends: Of `shape_matched`.

    Raises:
        ValueError: If there is no interval.
    """
    depth, channels = stack.image.shape[:2]
    if depth < 2:
        msg = f"a stack of {depth} slice has no interval to impute: give at least 2 slices"
        raise ValueError(msg)
    linear = impute_classically("shape_matched", stack, positions, ends)
    if not positions:
        return linear
    ids = sampler.ids if _are_known(stack.label, sampler.ids) else ()
    noise = list(_noise(sampler, _padded_size(stack, positions), rng))
    step, drawn = len(positions) + 1, _Drawn(sampler.samples)
    for channel in range(channels):
        shown = stack.normalised()[:, channel]
        features = describe_images(shown, positions)
        told = np.zeros((len(sampler.ids), *features.shape[1:]), np.float32)
        if ids and stack.label is not None:
            told = describe_labels(stack.label, ids, positions)
        whole = np.concatenate([features, told])
        drawn.add(draw_samples(sampler, whole, noise), features[0], step)
    return _gather(drawn, linear, stack, ids, sampler, rng)


def _padded_size(stack: Stack, positions: Sequence[float]) -> tuple[int, ...]:
    depth = len(stack.image)
    return (depth + (depth - 1) * len(positions), *stack.image.shape[2:])


def _noise(
    sampler: Sampler, size: Sequence[int], rng: np.random.Generator
) -> Iterator[list[Floats]]:
    for _ in range(sampler.samples):
        yield draw_noise(sampler.network, size, rng)


def _are_known(label: Array | None, ids: Sequence[int]) -> bool:
    return label is not None and bool(ids) and set(np.unique(label).tolist()) <= {0, *ids}


class _Drawn:
    """Samples of all channels on synthetic slices, as departures from linear interpolation."""

    def __init__(self, count: int) -> None:
        self.departures: list[list[Floats]] = [[] for _ in range(count)]
        self.fields: list[Floats] = []
        self.errors: list[Floats] = []

    def add(self, samples: Iterator[Sample], linear: Floats, step: int) -> None:
        """Add the samples of a channel; fields are those of the first."""
        first = not self.fields
        for departures, sample in zip(self.departures, samples, strict=True):
            departures.append(_between(sample.image - linear, step))
            self.errors.append(_between(np.square(sample.error), step))
            if first:
                self.fields.append(_between(sample.fields, step))


def _between(dense: Floats, step: int) -> Floats:
    """Take synthetic slices of `(…, S, H, W)`: `(…, intervals, positions, H, W)`."""
    *leading, slices, rows, columns = dense.shape
    whole = dense[..., : slices - 1, :, :].reshape(*leading, -1, step, rows, columns)
    return np.ascontiguousarray(whole[..., 1:, :, :])


def _gather(
    drawn: _Drawn,
    linear: SyntheticSlices,
    stack: Stack,
    ids: Sequence[int],
    sampler: Sampler,
    rng: np.random.Generator,
) -> SyntheticSlices:
    departures = np.stack([np.stack(one, axis=2) for one in drawn.departures])
    image = departures.mean(axis=0)
    within = departures.var(axis=0, ddof=1).mean(axis=2)
    spread = find_spread(within, np.mean(drawn.errors, axis=0), sampler.scale)
    _roughen(departures, np.sqrt(np.maximum(np.square(spread) - within, 0)), sampler.grain, rng)
    width = np.diff(stack.window, axis=1)[:, :, None].astype(np.float32)
    samples = [linear.image + width * one for one in departures]
    label: Array | None = linear.label
    labels: list[Array] = []
    if ids and stack.label is not None:
        names: Array = np.array([0, *ids]).astype(stack.label.dtype)
        label, labels = _elect(drawn.fields, names, rng)
    return SyntheticSlices(
        linear.image + width * image,
        np.clip(1 - _GAUSS * spread, 0, 1),
        label,
        measure="expected_error",
        error=_GAUSS * spread,
        samples=samples,
        sample_labels=labels,
        spread=spread,
    )


def _roughen(departures: Floats, rest: Floats, grain: Grain, rng: np.random.Generator) -> None:
    """Add to every sample a field of the standard deviation `rest`; their mean stays.

    Args:
        departures: `(N, intervals, positions, C, H, W)`; changed.
        rest: `(intervals, positions, H, W)`.
        grain: Of a `Sampler`.
        rng: Draws the fields, which intervals do not share: at acquired slices nothing is open.
    """
    for interval, own in enumerate(rest):
        fields = draw_fields(len(departures), own.shape, grain, rng)
        departures[:, interval] += (fields * own)[:, :, None]


def _elect(
    fields: Sequence[Floats], names: Array, rng: np.random.Generator
) -> tuple[Array, list[Array]]:
    """Take the most probable label over all samples, and draw one for each from its chances."""
    number, (intervals, *size) = len(fields), fields[0].shape[1:]
    label = np.empty((intervals, *size), names.dtype)
    labels = np.empty((number, *label.shape), names.dtype)
    for interval in range(intervals):
        total = np.zeros((len(names), *size), np.float32)
        levels = ndtr(draw_fields(number, size, _OUTLINES, rng))
        for sample, level in enumerate(levels):
            own = fields[sample][:, interval]
            chances = softmax(np.concatenate([np.zeros_like(own[:1]), own]), axis=0)
            total += chances
            below = chances[:-1].cumsum(axis=0) < level
            labels[sample, interval] = names[below.sum(axis=0)]
        label[interval] = names[total.argmax(axis=0)]
    return label, [*labels]
