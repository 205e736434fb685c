"""Virtual subjects: cases to learn and to test on where no patient data may be carried along."""

from functools import cache

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.special import expit

from slicefill.ingestion.nifti import new_volume
from slicefill.simulation.random_fields import displaced_grid, smooth_field
from slicefill.types import Array, Case, Floats

LABEL_NAMES = {1: "grey_matter", 2: "white_matter", 3: "lesion"}
SMALLEST_CROP = 32  # voxels; a smaller one may miss the white matter around the ventricles

_WHITE_MATTER, _LESION = 2, 3
_TISSUE_PROBABILITY = 0.3  # below it in both grey and white matter: neither
_DEFORMATION = 3.0, 24.0  # mm: standard deviation and scale; slopes of about 0.09: no folds
_BIAS = 0.08, 50.0  # standard deviation of the log bias, and scale in mm


def virtual_subject(seed: int, crop: tuple[int, int, int] = (112, 128, 96)) -> Case:
    """Simulate a T1-weighted brain with a lesion from the MNI152 average brain.

    The template is deformed smoothly by some millimetres, given a lesion of random shape, a
    random monotone contrast, a bias field and Rician noise. The same seed gives the same case.

    Args:
        seed: Chooses the subject.
        crop: Size around the brain's centre, voxels of 1 mm; at least 32 along each axis.

    Returns:
        Image (int16, arbitrary units, ≥ 0) and label (uint8, ids of `LABEL_NAMES`), shape
        `crop`, RAS, on the world coordinates of the template (mm).

    Raises:
        ValueError: If the crop is too small.
    """
    if min(crop) < SMALLEST_CROP:
        msg = f"crop must be at least {SMALLEST_CROP} voxels along each axis, got {crop}"
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    start, intensity, tissue = _deformed_brain(crop, rng)
    level = _lesion_level(tissue, rng)
    label = np.where((level > 0) & (tissue > 0), _LESION, tissue).astype(np.uint8)
    image = _scan(_with_lesion(intensity, level, rng), rng)
    affine = _template()[2] @ nib.affines.from_matvec(np.eye(3), start)
    record = {
        "origin": "simulated from one real average brain (MNI152, nilearn); not a patient",
        "seed": seed,
        "crop": list(crop),
    }
    return Case(new_volume(image, affine), new_volume(label, affine), record=record)


def virtual_brain(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Cut a deformed and scaled part out of the MNI152 average brain.

    Returns:
        Intensities in [0, 1] of a voxel of 0.7 to 1.4 mm, `shape`; 0 outside the brain.
    """
    brain, tissue, _ = _template()
    middle = rng.choice(np.argwhere(tissue > 0)[::97])
    voxel = np.exp(rng.uniform(np.log(0.7), np.log(1.4)))
    grid = displaced_grid(shape, *_DEFORMATION, rng) - np.array(shape)[:, None, None, None] / 2
    where = middle[:, None, None, None] + voxel * grid
    part: Floats = map_coordinates(brain, where.astype(np.float32), order=1)
    return part


@cache
def _template() -> tuple[Floats, NDArray[np.uint8], NDArray[np.float64]]:
    """Intensity in [0, 1], tissue (0 neither, 1 grey, 2 white), both at 1 mm, and the affine."""
    from nilearn import datasets

    brain = datasets.load_mni152_template(resolution=1)
    matter = [datasets.load_mni152_gm_template(resolution=1).get_fdata(dtype=np.float32)]
    matter.append(datasets.load_mni152_wm_template(resolution=1).get_fdata(dtype=np.float32))
    background = np.full_like(matter[0], _TISSUE_PROBABILITY)
    tissue = np.argmax(np.stack([background, *matter]), axis=0).astype(np.uint8)
    return brain.get_fdata(dtype=np.float32), tissue, np.asarray(brain.affine)


def _deformed_brain(
    crop: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float64], Floats, Array]:
    """First template voxel of the crop, intensity in [0, 1] and tissue, deformed."""
    brain, tissue, _ = _template()
    middle = np.mean([np.min(np.nonzero(tissue), 1), np.max(np.nonzero(tissue), 1)], axis=0)
    start = np.floor(middle - np.array(crop) / 2)
    where = displaced_grid(crop, *_DEFORMATION, rng) + start[:, None, None, None]
    return start, map_coordinates(brain, where, order=1), map_coordinates(tissue, where, order=0)


def _lesion_level(tissue: Array, rng: np.random.Generator) -> Array:
    """Level set of a lesion, positive inside: a ball on white matter, made irregular."""
    margin = SMALLEST_CROP // 4  # most of the lesion lies within the crop
    inner = tissue[(slice(margin, -margin),) * 3]
    centre = rng.choice(np.argwhere(inner == _WHITE_MATTER)) + margin
    radius = rng.uniform(7, 14)  # mm
    squares = [(np.arange(n) - c) ** 2 for n, c in zip(tissue.shape, centre, strict=True)]
    distance = np.sqrt(sum(np.ix_(*squares), start=np.zeros(1)))
    roughness = 0.45 * smooth_field(tissue.shape, 5.0, rng)
    level: Array = 1 - distance / radius + roughness * (distance < 2 * radius)
    return level


def _with_lesion(intensity: Floats, level: Array, rng: np.random.Generator) -> Array:
    """Darken or brighten the lesion, fading out over about 2 mm at its edge."""
    change = rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 0.4)
    altered: Array = np.clip(intensity * (1 + change * expit(level / 0.08)), 0, 1)
    return altered


def _scan(intensity: Array, rng: np.random.Generator) -> NDArray[np.int16]:
    """Turn intensities in [0, 1] into stored numbers as a scanner would."""
    steps = rng.dirichlet(np.full(5, 10.0))  # the rises of a monotone curve from 0 to 1
    signal = np.interp(intensity, np.linspace(0, 1, 6), np.concatenate([[0], np.cumsum(steps)]))
    deviation, scale = _BIAS
    signal = signal * np.exp(deviation * smooth_field(intensity.shape, scale, rng))
    noise = rng.uniform(0.01, 0.03) * rng.standard_normal((2, *intensity.shape), np.float32)
    magnitude = np.hypot(signal + noise[0], noise[1])  # Rician
    stored: NDArray[np.int16] = np.rint(rng.uniform(400, 1200) * magnitude).astype(np.int16)
    return stored
