"""Bodies in air, with skin, fat, muscle, organs and bones; outlines move fast between slices."""

import numpy as np

from slicefill.simulation.random_fields import displaced_grid, sample, smooth_field
from slicefill.simulation.shapes import Shape3, distance_to_zero
from slicefill.types import Array, Floats

_AIR, _SKIN, _FAT, _MUSCLE, _CORTEX, _MARROW, _FIRST_ORGAN = range(7)


def body_volume(shape: Shape3, rng: np.random.Generator) -> Floats:
    """Draw limbs or a trunk as a scanner would see it, slices along the first axis.

    The shapes are compressed across slices, as where slices are thicker than pixels: outlines move
    up to some ten pixels from one slice to the next. Tissues have low contrast to each other and
    high contrast to air, or any.

    Returns:
        Signal, about [0, 1], `shape`.
    """
    labels = _tissues(shape, rng)
    level = _levels(max(int(labels.max()) + 1, _FIRST_ORGAN), rng)
    texture = np.zeros(shape, np.float32)
    for low, high in ((0.7, 2.0), (1.5, 8.0)):
        scale = np.exp(rng.uniform(np.log(low), np.log(high)))
        texture += smooth_field(shape, scale, rng)
    amplitude = rng.uniform(0, 0.08, len(level)).astype(np.float32)
    amplitude[_AIR] = 0
    signal: Floats = level[labels] + amplitude[labels] * texture
    return signal


def _tissues(shape: Shape3, rng: np.random.Generator) -> Array:
    squeeze = np.exp(rng.uniform(0, np.log(4)))  # voxels across slices stand for so many
    scales = np.exp(rng.uniform(np.log(12), np.log(45))) * np.array([1 / squeeze, 1, 1])
    body = distance_to_zero(smooth_field(shape, scales, rng) + rng.uniform(-0.4, 1.0))
    labels: Array = np.where(body > 0, _SKIN, _AIR).astype(np.int16)
    skin, fat = rng.uniform(0.5, 2.5), rng.uniform(0, 8)
    labels[body > skin] = _FAT
    labels[body > skin + fat] = _MUSCLE
    organs = rng.integers(0, 6)
    for organ in range(_FIRST_ORGAN, _FIRST_ORGAN + organs):
        finer = scales * rng.uniform(0.2, 0.6)
        inside = smooth_field(shape, finer, rng) > rng.uniform(0.5, 1.5)
        labels[inside & (labels == _MUSCLE)] = organ
    for _ in range(rng.integers(0, 4)):
        _put_bone(labels, scales, rng)
    deviation = rng.uniform(0, 0.1) * 16
    moved: Array = sample(labels, displaced_grid(shape, deviation, 16.0, rng), order=0)
    return moved


def _put_bone(labels: Array, scales: Array, rng: np.random.Generator) -> None:
    """Put a shaft or a plate with a bright cortex into what is not air or skin."""
    depth: Array
    if rng.random() < 0.5:
        first, second = (smooth_field(labels.shape, scales, rng) for _ in range(2))
        depth = rng.uniform(2, 8) - np.hypot(distance_to_zero(first), distance_to_zero(second))
    else:
        finer = scales * rng.uniform(0.2, 0.5)
        depth = distance_to_zero(smooth_field(labels.shape, finer, rng) - rng.uniform(1.0, 1.8))
    within = labels > _SKIN
    labels[within & (depth > 0)] = _CORTEX
    labels[within & (depth > rng.uniform(0.7, 3))] = _MARROW


def _levels(count: int, rng: np.random.Generator) -> Floats:
    """Intensities of the tissues: as in CT, or any over air that is dark."""
    level = rng.uniform(0.05, 1, count)
    if rng.random() < 0.5:
        soft = rng.uniform(0.4, 0.7)
        level = soft + rng.uniform(-0.06, 0.06, count)
        level[_FAT] = soft - rng.uniform(0.03, 0.12)
        level[_CORTEX], level[_MARROW] = rng.uniform(0.8, 1.3), soft + rng.uniform(-0.05, 0.3)
        if count > _FIRST_ORGAN and rng.random() < 0.4:
            level[rng.integers(_FIRST_ORGAN, count)] = rng.uniform(0, 0.15)  # gas, lung
    level[_AIR] = 0.0
    return level.astype(np.float32)
