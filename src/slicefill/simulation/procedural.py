"""Procedural volumes: shapes of any kind, and average brains in any contrast."""

from collections.abc import Callable
from functools import partial

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from slicefill.fingerprint import fingerprint
from slicefill.params import PretrainingParams
from slicefill.simulation.appearance import paint, recolour, scan
from slicefill.simulation.shapes import Shape3, random_labels
from slicefill.simulation.virtual_subjects import virtual_brain
from slicefill.types import Case, Floats, Promise, Volume


def procedural_cases(params: PretrainingParams, first: int, count: int) -> dict[str, Promise]:
    """Promise procedural cases with the seeds from `first` on; the seed is the case's name."""
    seeds = range(first, first + count)
    return {f"{seed:06d}": Promise(*_made(params, seed)) for seed in seeds}


def _made(params: PretrainingParams, seed: int) -> tuple[Callable[[], Case], str]:
    recipe = (params.size, params.brain_fraction)
    return partial(procedural_case, seed, *recipe), fingerprint("procedural", seed, *recipe)


def procedural_case(seed: int, size: int, brain_fraction: float) -> Case:
    """Make a case of a procedural volume: float32, 1 mm, no label."""
    header = nib.Nifti1Header()
    header.set_data_shape((size,) * 3)
    header.set_data_dtype(np.float32)
    header.set_sform(np.eye(4), "scanner")
    return Case(
        Volume(procedural_volume(seed, size, brain_fraction), header), record={"seed": seed}
    )


def procedural_volume(seed: int, size: int, brain_fraction: float) -> Floats:
    """Make an isotropic volume that looks as if scanned, but of nothing in particular.

    Args:
        seed: The same gives the same volume.
        size: Voxels along each axis.
        brain_fraction: How many of the volumes are deformed average brains (MNI152) of random
            contrast; the others are random shapes.

    Returns:
        `(size, size, size)`, intensities in [0, 1].
    """
    rng = np.random.default_rng(seed)
    shape = (size, size, size)
    signal = _brain(shape, rng) if rng.random() < brain_fraction else _shapes(shape, rng)
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
