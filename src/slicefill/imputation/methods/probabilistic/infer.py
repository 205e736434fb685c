"""Samples of the slices that lie between acquired ones, and how far they are apart."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, softmax

from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.probabilistic.drawing import (
    Sample,
    Sampler,
    draw_noise,
    draw_sample,
)
from slicefill.imputation.methods.probabilistic.features import describe_images, describe_labels
from slicefill.imputation.methods.probabilistic.rest import Grain, draw_field, draw_fields
from slicefill.imputation.methods.probabilistic.spread import (
    Expected,
    expected_deviation,
    find_clues,
    find_spread,
)
from slicefill.params.imputation import EndParams
from slicefill.types import Array, Floats, Stack, SyntheticSlices

_GAUSS = float(np.sqrt(2 / np.pi))  # mean absolute value of an error whose variance is 1
_NO_LABEL = -1.0  # as `describe_labels` says of the background far away
_SLIGHT = 0.01  # chance of a label that counts as none: far from outlines each keeps a little
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
    known = sampler.ids if _are_known(stack.label, sampler.ids) else ()
    seeds = rng.integers(2**63, size=sampler.samples)
    drawn = _Drawn(stack, positions, known, sampler.samples)
    for channel in range(channels):
        features = describe_images(stack.normalised()[:, channel], positions)
        drawn.look(features)
        told = np.full((len(sampler.ids), *features.shape[1:]), _NO_LABEL, np.float32)
        if known and stack.label is not None:
            told = describe_labels(stack.label, known, positions)
        whole = np.concatenate([features, told])
        for number, seed in enumerate(seeds):  # one by one: a completion takes much memory
            own = np.random.default_rng(seed)
            noise = draw_noise(sampler.network, features.shape[1:], own)
            drawn.add(number, draw_sample(sampler, whole, noise), features[0], own)
    return _gather(drawn, linear, stack, sampler, rng)


def _are_known(label: Array | None, ids: Sequence[int]) -> bool:
    return label is not None and bool(ids) and set(np.unique(label).tolist()) <= {0, *ids}


class _Drawn:
    """Samples of all channels on synthetic slices, as departures from linear interpolation."""

    def __init__(
        self, stack: Stack, positions: Sequence[float], ids: Sequence[int], count: int
    ) -> None:
        self._step, self._ids, self._acquired = len(positions) + 1, ids, stack.label
        self.departures: list[list[Floats]] = [[] for _ in range(count)]
        self.errors: list[Floats] = []
        self.clues: list[Floats] = []
        self.labels: list[Array] = []
        self._chances: Floats = np.zeros(1, np.float32)

    def look(self, features: Floats) -> None:
        """See a channel, before its samples are added."""
        self.clues.append(_between(find_clues(features), self._step))

    def add(self, number: int, sample: Sample, linear: Floats, rng: np.random.Generator) -> None:
        """Add a sample of a channel; labels are those of the first."""
        self.departures[number].append(_between(sample.image - linear, self._step))
        self.errors.append(_between(np.square(sample.error), self._step))
        if self._ids and self._acquired is not None and len(self.departures[number]) == 1:
            chances = label_chances(_between(sample.fields, self._step), self._acquired, self._ids)
            self._chances = self._chances + chances
            self.labels.append(self._named(draw_labels(chances, rng)))

    @property
    def label(self) -> Array | None:
        """The most probable label over all samples; None where none were drawn."""
        return self._named(self._chances.argmax(axis=0)) if self.labels else None

    def _named(self, indices: Array) -> Array:
        assert self._acquired is not None
        return np.array([0, *self._ids])[indices].astype(self._acquired.dtype)


def _between(dense: Floats, step: int) -> Floats:
    """Take synthetic slices of `(…, S, H, W)`: `(…, intervals, positions, H, W)`."""
    *leading, slices, rows, columns = dense.shape
    whole = dense[..., : slices - 1, :, :].reshape(*leading, -1, step, rows, columns)
    return np.ascontiguousarray(whole[..., 1:, :, :])


def _gather(
    drawn: _Drawn,
    linear: SyntheticSlices,
    stack: Stack,
    sampler: Sampler,
    rng: np.random.Generator,
) -> SyntheticSlices:
    departures = np.stack([np.stack(one, axis=2) for one in drawn.departures])
    image = departures.mean(axis=0)
    within = departures.var(axis=0, ddof=1).mean(axis=2)
    deviation = expected_deviation(within, np.mean(drawn.errors, axis=0))
    spread = find_spread(Expected(deviation, np.mean(drawn.clues, axis=0)), sampler.powers)
    _roughen(departures, np.sqrt(np.maximum(np.square(spread) - within, 0)), sampler.grain, rng)
    width = np.diff(stack.window, axis=1)[:, :, None].astype(np.float32)
    samples = [linear.image + width * one for one in departures]
    return SyntheticSlices(
        linear.image + width * image,
        np.clip(1 - _GAUSS * spread, 0, 1),
        linear.label if drawn.label is None else drawn.label,
        measure="expected_error",
        error=_GAUSS * spread,
        samples=samples,
        sample_labels=drawn.labels,
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


def label_chances(fields: Floats, acquired: Array, ids: Sequence[int]) -> Floats:
    """Find the chances of labels that a slice beside shows; slight ones are none.

    Args:
        fields: Distances to outlines, `(K, intervals, positions, H, W)`.
        acquired: Label ids of the acquired slices, `(D, H, W)`.
        ids: K of them; all that `acquired` holds but 0.

    Returns:
        `(1 + K, intervals, positions, H, W)`, the background first; they sum to 1.
    """
    chances: Floats = softmax(np.concatenate([np.zeros_like(fields[:1]), fields]), axis=0)
    chances[chances < _SLIGHT] = 0
    for number, identity in enumerate(ids, start=1):
        there = (acquired == identity).any(axis=(1, 2))
        chances[number, ~(there[:-1] | there[1:])] = 0
    total = chances.sum(axis=0)
    chances[0, total == 0] = 1
    return np.asarray(chances / np.where(total == 0, 1, total), np.float32)


def draw_labels(chances: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw one of the labels at every voxel, along smooth outlines; return their indices.

    Args:
        chances: Of `label_chances`.
        rng: Draws the levels at which outlines lie, which intervals do not share.
    """
    levels = [ndtr(draw_field(size.shape, _OUTLINES, rng)) for size in chances[0]]
    return np.asarray((chances[:-1].cumsum(axis=0) < np.stack(levels)).sum(axis=0))
