"""Pictures of leaves that cover each other: edges of every direction and curvature, without end.

Natural images have the statistics of such a model (Lee, Mumford and Huang, IJCV 41, 2001). Half of
the pictures are cuts through bodies in air, with skin, organs and bones, the contrasts of CT.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from slicefill.simulation.random_fields import smooth_field
from slicefill.types import Array, Floats

_HARMONICS = np.arange(2, 7)  # of an outline
_BENDING, _FALLING = 0.22, 1.2  # deviation of the second, and the power by which others are smaller
_SMALLEST, _LARGEST = 3.0, 110.0  # radius of a leaf, pixels
_SKIN, _FAT = (1.0, 4.0), (2.0, 30.0)  # thickness, pixels
_CORTEX = (0.1, 0.45)  # of a bone, as a share of its radius
_SOFT = 0.09  # largest difference of soft tissues from their mean; air is 0, bone 1
_TEXTURE = 0.12  # largest deviation of the texture of a leaf


@dataclass(frozen=True)
class Leaf:
    """A closed outline.

    Attributes:
        depth: How far inside it pixels are, as a share of its radius there, below 0 outside,
            `part`.
        part: Of the picture.
        radius: Mean, pixels.
    """

    depth: Floats
    part: tuple[slice, slice]
    radius: float


def dead_leaves(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Draw a picture.

    Args:
        shape: Pixels.
        rng: Draws it.

    Returns:
        About [0, 1], bones and bright leaves above, `shape`.
    """
    level, texture = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    if rng.random() < 0.5:
        _cover(level, texture, rng)
    else:
        _put_bodies(level, texture, rng)
    fine, coarse = (np.exp(rng.uniform(np.log(low), np.log(high))) for low, high in _PITCHES)
    grain = smooth_field(shape, fine, rng) + smooth_field(shape, coarse, rng)
    sharp: Floats = level + texture * grain
    smooth: Floats = gaussian_filter(sharp, rng.uniform(0.3, 1.0))
    return smooth


_PITCHES = ((0.7, 2.0), (1.5, 12.0))  # of textures, pixels


def _cover(level: Floats, texture: Floats, rng: np.random.Generator) -> None:
    """Cover a picture with leaves of any brightness."""
    rough = rng.uniform(0, _TEXTURE)
    for _ in range(int(rng.integers(20, 160))):
        leaf = _draw_leaf(level.shape, rng)
        _paint(level, texture, leaf, leaf.depth > 0, (rng.random(), rng.uniform(0, rough)))


def _put_bodies(level: Floats, texture: Floats, rng: np.random.Generator) -> None:
    """Put bodies into air; whatever comes after the first one may lie within it, or not."""
    soft, rough = rng.uniform(0.4, 0.7), rng.uniform(0, _TEXTURE / 4)
    inside = np.zeros(level.shape, bool)
    for _ in range(int(rng.integers(1, 5))):
        body = _draw_leaf(level.shape, rng, smallest=_LARGEST / 4)
        _paint(level, texture, body, body.depth > 0, (soft + _near(rng), rough))
        skin, fat = (rng.uniform(*each) / body.radius for each in (_SKIN, _FAT))
        layer = (body.depth > skin) & (body.depth < skin + fat)
        _paint(level, texture, body, layer, (soft - rng.uniform(0.02, 1.5 * _SOFT), rough))
        inside[body.part] |= body.depth > skin
    for _ in range(int(rng.integers(5, 60))):
        leaf = _draw_leaf(level.shape, rng, largest=_LARGEST / 2)
        there = (leaf.depth > 0) & inside[leaf.part]
        kind = rng.random()
        if kind < 0.2:  # bone
            _paint(level, texture, leaf, there, (rng.uniform(0.8, 1.4), rough))
            marrow = there & (leaf.depth > rng.uniform(*_CORTEX))
            _paint(level, texture, leaf, marrow, (soft + rng.uniform(-0.05, 0.25), rough))
        elif kind < 0.27:  # gas
            _paint(level, texture, leaf, there, (rng.uniform(0, 0.1), rough))
        else:
            _paint(level, texture, leaf, there, (soft + _near(rng), rough))


def _near(rng: np.random.Generator) -> float:
    return float(rng.uniform(-_SOFT, _SOFT))


def _paint(
    level: Floats, texture: Floats, leaf: Leaf, there: Array, look: tuple[float, float]
) -> None:
    level[leaf.part][there], texture[leaf.part][there] = look


def _draw_leaf(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    smallest: float = _SMALLEST,
    largest: float = _LARGEST,
) -> Leaf:
    """Draw an outline: a circle whose radius varies with the direction, stretched and turned."""
    radius = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    stretch, turn = np.exp(rng.uniform(0, np.log(2))), rng.uniform(0, np.pi)
    reach = int(2 * radius * stretch) + 1
    centre = rng.uniform(0, shape)
    part = _clipped(centre, reach, shape)
    rows, columns = (
        np.arange(where.start, where.stop) - c for where, c in zip(part, centre, strict=True)
    )
    y, x = rows[:, None].astype(np.float32), columns[None].astype(np.float32)
    along = (np.cos(turn) * x + np.sin(turn) * y) / np.float32(stretch)
    across = (np.cos(turn) * y - np.sin(turn) * x) * np.float32(stretch)
    angle = np.arctan2(across, along)
    bends = rng.normal(0, _BENDING, len(_HARMONICS)) * (_HARMONICS / 2.0) ** -_FALLING
    phases = rng.uniform(0, 2 * np.pi, len(_HARMONICS))
    waves = (b * np.cos(k * angle + p) for k, b, p in zip(_HARMONICS, bends, phases, strict=True))
    outline = radius * np.maximum(0.2, 1 + sum(waves))
    depth = 1 - np.hypot(along, across) / outline
    return Leaf(depth.astype(np.float32), part, radius)


def _clipped(
    centre: NDArray[np.float64], reach: int, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    first, last = (
        slice(max(0, int(c) - reach), max(1, min(n, int(c) + reach + 1)))
        for c, n in zip(centre, shape, strict=True)
    )
    return first, last
