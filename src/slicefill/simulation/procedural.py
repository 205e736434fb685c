"""Procedural volumes: random shapes as a scanner would show them."""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter

from slicefill.fingerprint import fingerprint
from slicefill.ingestion.nifti import new_volume
from slicefill.params import PretrainingParams
from slicefill.simulation.bodies import body_volume
from slicefill.simulation.random_fields import smooth_field
from slicefill.simulation.shapes import Shape3, random_labels
from slicefill.simulation.virtual_subjects import virtual_brain
from slicefill.types import Array, Case, Floats, Promise

NOISELESS = "noiseless"
"""Map of a made case: the volume without noise."""


def procedural_cases(params: PretrainingParams, first: int, count: int) -> dict[str, Promise]:
    """Promise procedural cases with the seeds from `first` on; the seed is the case's name."""
    seeds = range(first, first + count)
    return {f"{seed:06d}": Promise(*_made(params, seed)) for seed in seeds}


def _made(params: PretrainingParams, seed: int) -> tuple[Callable[[], Case], str]:
    recipe = (params.size, params.brain_fraction, params.body_fraction)
    return partial(procedural_case, seed, *recipe), fingerprint("procedural", seed, *recipe)


def procedural_case(
    seed: int, size: int, brain_fraction: float, body_fraction: float = 0.0
) -> Case:
    """Make a case of a procedural volume: float32, 1 mm, no label.

    Its map `noiseless` is what the mean of many such scans would show.
    """
    made = _scanned(seed, size, brain_fraction, body_fraction)
    seen, noiseless = (new_volume(stored, np.eye(4)) for stored in made)
    return Case(seen, maps={NOISELESS: noiseless}, record={"seed": seed})


def procedural_volume(
    seed: int, size: int, brain_fraction: float, body_fraction: float = 0.0
) -> Floats:
    """Make an isotropic volume that looks like a scan, but shows no real anatomy.

    Args:
        seed: The same gives the same volume.
        size: Voxels along each axis.
        brain_fraction: How many of the volumes are deformed average brains (MNI152) of random
            contrast.
        body_fraction: How many are bodies in air; the others are random shapes.

    Returns:
        `(size, size, size)`, intensities in [0, 1].
    """
    return _scanned(seed, size, brain_fraction, body_fraction)[0]


def _scanned(
    seed: int, size: int, brain_fraction: float, body_fraction: float
) -> tuple[Floats, Floats]:
    """Make a volume as it is seen, and the same without noise."""
    rng = np.random.default_rng(seed)
    shape, kind = (size, size, size), rng.random()
    if kind >= 1 - body_fraction:
        return scan(np.moveaxis(body_volume(shape, rng), 0, 2), rng)
    signal = _brain(shape, rng) if kind < brain_fraction else _shapes(shape, rng)
    axes = rng.permutation(3)
    return scan(signal.transpose(axes), rng)


def _shapes(shape: Shape3, rng: np.random.Generator) -> Floats:
    return paint(random_labels(shape, rng), rng)


def _brain(shape: Shape3, rng: np.random.Generator) -> Floats:
    """Average brain, sharpened, for averaging has smoothed it, with textures of its own."""
    brain = virtual_brain(shape, rng)
    sharp = brain + rng.uniform(0, 3) * (brain - gaussian_filter(brain, 1.0))
    signal = recolour(np.clip(sharp, 0, 1), rng)
    texture = rng.uniform(0, 0.08) * (brain > 0) * _folds(shape, rng)
    textured: Floats = signal + texture
    return textured


def _folds(shape: Shape3, rng: np.random.Generator) -> Floats:
    """Painted shapes as a texture of zero mean and unit variance: folds that no average has."""
    painted = paint(random_labels(shape, rng), rng)
    texture: Floats = (painted - painted.mean()) / max(float(painted.std()), 1e-3)
    return texture


def paint(labels: Array, rng: np.random.Generator) -> Floats:
    """Give every label an intensity and a texture of its own, `labels.shape`, about [0, 1]."""
    count = int(labels.max()) + 1
    level = rng.uniform(0, 1, count).astype(np.float32)
    if rng.random() < 0.6:
        level[rng.integers(count)] = 0.0  # air, or what was cut away
    amplitude = (rng.uniform(0, 0.15, count) * (rng.random(count) < 0.7) * (level > 0)).astype(
        np.float32
    )
    texture = np.zeros(labels.shape, np.float32)
    for _ in range(2):
        texture += smooth_field(labels.shape, np.exp(rng.uniform(np.log(0.7), np.log(6))), rng)
    painted: Floats = level[labels] + amplitude[labels] * texture
    return painted


def recolour(intensity: Floats, rng: np.random.Generator) -> Floats:
    """Give an image another contrast: a random curve over [0, 1], rising or not; 0 may stay 0."""
    knots = np.sort(rng.uniform(0.05, 0.95, 4))
    heights = rng.uniform(0, 1, 6)
    if rng.random() < 0.5:
        heights = np.sort(heights)
    if rng.random() < 0.7:
        heights[0] = 0.0
    curve: Floats = np.interp(intensity, [0, *knots, 1], heights).astype(np.float32)
    return curve


def scan(signal: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Scan a signal: bias field, partial volume, slice profile, noise; then its window.

    Args:
        signal: About [0, 1].
        rng: Draws everything.

    Returns:
        Intensities, of which the percentiles 0.5 and 99.5 are 0 and 1, clipped; and the mean of
        what such scans would show, on the same scale.
    """
    bias = rng.uniform(0, 0.25) * smooth_field(signal.shape, rng.uniform(25, 60), rng)
    sigmas = rng.uniform(0.2, 0.9, 3)
    if rng.random() < 0.3:
        sigmas[rng.integers(3)] += rng.uniform(0, 1.5)  # a thick slice, or a coarse acquisition
    noiseless = gaussian_filter(np.maximum(signal, 0) * np.exp(bias), sigmas)
    seen, mean = _with_noise(noiseless, rng)
    low, high = np.percentile(seen, [0.5, 99.5])

    def shown(values: Floats) -> Floats:
        scaled = (values - low) / max(high - low, 1e-3)
        clipped: Floats = np.clip(scaled, 0, 1, dtype=np.float32)
        return clipped

    return shown(seen), shown(mean)


def _with_noise(seen: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Add Gaussian or Rician noise, white or as smooth as an interpolated image has it.

    Returns:
        With noise; and its mean, which lies above the signal where noise is Rician.
    """
    deviation = rng.uniform(0, 0.06) if rng.random() < 0.8 else 0.0
    noise = rng.standard_normal((2, *seen.shape), np.float32)
    if rng.random() < 0.4:
        noise = gaussian_filter(noise, (0, *rng.uniform(0.2, 0.8, 3)))
        noise /= max(float(noise.std()), 1e-6)
    noise *= deviation
    if rng.random() < 0.5:
        # right without signal and far above the noise, and within a few per cent between
        mean = np.sqrt(seen**2 + np.float32(np.pi / 2 * deviation**2))
        return np.hypot(seen + noise[0], noise[1]), mean
    return seen + noise[0], seen
