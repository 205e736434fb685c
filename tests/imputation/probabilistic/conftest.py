"""Phantoms whose every slice is known, and parameters of a small network."""

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from scipy.ndimage import gaussian_filter

from slicefill.imputation.methods.probabilistic.params import Params
from slicefill.types import Case, Promise, Volume

SMALL = """
samples: 3
network: {widths: [4, 4, 6, 8], latents: [1, 2, 2], residual: 0.5}
windows: {factors: [2, 4], size: [8, 16, 16], batch: 2, cache_gb: 1.0}
loss:
  {image: 30, label: 1, error: 0.1, divergence: 1, levels: 3, coarse: 1.5, strictness: 2,
  prior: 0.5, warm_up: 0.3}
optimisation: {learning_rate: 1.0e-3, gradient_clip: 2.0, epochs: 2, steps_per_epoch: 3, seed: 0}
through_plane: S
window: {kind: fixed, low: 0, high: 1}
hardware: {accelerator: cpu, devices: 1, precision: 32-true}
"""


def phantom(seed: int, size: tuple[int, int, int] = (32, 32, 33)) -> Case:
    """Three tilted ellipsoids, labels 1 to 3, in a body with texture; blurred, in [0, 1]."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij"), -1)
    image, label = (
        np.where(np.linalg.norm(grid, axis=-1) < 0.95, 0.4, 0.0),
        np.zeros(size, np.uint8),
    )
    for number, level in enumerate((0.55, 0.7, 0.85), start=1):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        away = (grid - rng.uniform(-0.35, 0.35, 3)) @ turn / rng.uniform(0.2, 0.5, 3)
        inside = np.linalg.norm(away, axis=-1) < 1
        image[inside], label[inside] = level, number
    texture = gaussian_filter(rng.normal(size=size), 1.0)
    stored = gaussian_filter(image * (1 + 0.25 * texture / texture.std() * 0.3), 0.6)
    header = nib.Nifti1Header()
    header.set_sform(np.eye(4), "scanner")
    volumes = []
    for values in (np.clip(stored, 0, 1).astype(np.float32), label):
        own = header.copy()
        own.set_data_shape(values.shape)
        own.set_data_dtype(values.dtype)
        volumes.append(Volume(values, own))
    return Case(*volumes)


@pytest.fixture(scope="session")
def make_phantom() -> Callable[..., Case]:
    """Make the phantom of a seed."""
    return phantom


@pytest.fixture(scope="session")
def phantoms() -> Callable[[range], dict[str, Promise]]:
    """Promise the phantoms of some seeds."""

    def promise(seeds: range) -> dict[str, Promise]:
        made = {seed: phantom(seed) for seed in seeds}
        return {f"p{n}": Promise(lambda one=one: one, f"phantom {n}") for n, one in made.items()}

    return promise


@pytest.fixture(scope="session")
def params() -> Callable[..., Params]:
    """Parameters of a small training; sections are merged, plain values replaced."""

    def make(**changes: Any) -> Params:
        plain = yaml.safe_load(SMALL)
        for name, value in changes.items():
            plain[name] = plain[name] | value if isinstance(value, dict) else value
        return Params(**plain)

    return make
