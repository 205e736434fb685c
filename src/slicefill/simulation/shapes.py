"""Random label maps: regions, and in them blobs, shells, folded sheets, tubes and vessels."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt

from slicefill.simulation.random_fields import displaced_grid, sample, smooth_field
from slicefill.types import Array, Floats

Shape3 = tuple[int, int, int]
_LARGEST_SLOPE = 0.12  # deviation / scale of the deformation that all shapes undergo together


def random_labels(shape: Shape3, rng: np.random.Generator) -> Array:
    """Draw a label map, deformed as a whole by a smooth invertible motion.

    Args:
        shape: Voxels.
        rng: Draws it.

    Returns:
        Ids from 0 on, `shape`, int16; 0 is one of the regions.
    """
    labels = _regions(shape, rng)
    for _ in range(rng.integers(2, 8)):
        inside = _FEATURES[rng.integers(len(_FEATURES))](shape, rng)
        among = rng.random(labels.max() + 1) < rng.uniform(0.3, 1.0)
        labels = np.where(inside & among[labels], labels.max() + 1, labels)
    scale = rng.uniform(10, 30)
    deviation = rng.uniform(0, _LARGEST_SLOPE) * scale
    moved: Array = sample(labels, displaced_grid(shape, deviation, scale, rng), order=0)
    return moved


def _regions(shape: Shape3, rng: np.random.Generator) -> Array:
    """Regions like adjacent organs: the index of the largest of several fields."""
    count, scale = rng.integers(2, 7), _scales(rng, 8, 32)
    fields = [smooth_field(shape, scale, rng) for _ in range(count)]
    regions: Array = np.argmax(fields, axis=0).astype(np.int16)
    return regions


def _blobs(shape: Shape3, rng: np.random.Generator) -> Array:
    inside: Array = smooth_field(shape, _scales(rng, 2.5, 14), rng) > rng.uniform(0.5, 1.8)
    return inside


def _shells(shape: Shape3, rng: np.random.Generator) -> Array:
    """Layers around blobs: skull, vessel walls, cortex."""
    depth = distance_to_zero(smooth_field(shape, _scales(rng, 6, 20), rng) - rng.uniform(-0.5, 1.5))
    inner = rng.uniform(0, 4)
    layer: Array = (depth > inner) & (depth < inner + rng.uniform(1, 5))
    return layer


def _sheets(shape: Shape3, rng: np.random.Generator) -> Array:
    """Folded sheets: where a field is near zero."""
    depth = np.abs(distance_to_zero(smooth_field(shape, _scales(rng, 3, 14), rng)))
    sheet: Array = depth < rng.uniform(0.5, 2)
    return sheet


def _tubes(shape: Shape3, rng: np.random.Generator) -> Array:
    """Where two sheets meet: long tubes."""
    scale = _scales(rng, 5, 20)
    first, second = (distance_to_zero(smooth_field(shape, scale, rng)) for _ in range(2))
    tube: Array = np.hypot(first, second) < rng.uniform(0.8, 4)
    return tube


def _vessels(shape: Shape3, rng: np.random.Generator) -> Array:
    """A tree of branches that get thinner, as seen from its middle line."""
    radii = np.zeros(shape, np.float32)
    start = rng.uniform(0, 1, 3) * shape
    branches = [(start, rng.standard_normal(3), rng.uniform(1.5, 4.0))]
    while branches:
        place, heading, radius = branches.pop()
        for _ in range(rng.integers(20, 60)):
            heading = heading / np.linalg.norm(heading) + 0.25 * rng.standard_normal(3)
            place = place + heading / np.linalg.norm(heading)
            if ((place < 0) | (place > np.array(shape) - 1)).any():
                break
            radii[tuple(np.rint(place).astype(int))] = radius
        else:
            if radius > 1:
                branches += [
                    (place, heading + rng.standard_normal(3), radius * 0.75) for _ in range(2)
                ]
    return _thickened(radii)


def _thickened(radii: Floats) -> Array:
    """Voxels no farther from the nearest marked voxel than the radius that it carries."""
    if not radii.any():
        return radii > 0
    distance, nearest = distance_transform_edt(radii == 0, return_indices=True)
    inside: Array = distance <= radii[tuple(nearest)]
    return inside


_FEATURES: list[Callable[[Shape3, np.random.Generator], Array]] = [
    _blobs,
    _blobs,
    _shells,
    _sheets,
    _sheets,
    _tubes,
    _vessels,
]


def _scales(rng: np.random.Generator, low: float, high: float) -> list[float]:
    """A scale between low and high, evenly in its logarithm, stretched along the axes."""
    scale = np.exp(rng.uniform(np.log(low), np.log(high)))
    return [float(scale * np.exp(stretch)) for stretch in rng.uniform(-0.5, 0.5, 3)]


def distance_to_zero(field: Floats) -> Floats:
    """Approximate distance to where a field is zero, voxels: its value by its slope."""
    slope = np.sqrt(sum(np.square(g) for g in np.gradient(field)))
    distance: Floats = field / np.maximum(slope, 1e-3)
    return distance
