"""What the super-resolution tests share: parameters of a tiny training, isotropic cases."""

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from lightning_fabric import Fabric

from slicefill.imputation.methods.super_resolution.params import Params
from slicefill.training.hardware import launch_fabric
from slicefill.types import Case, Floats, Promise, Volume

SIZE = {"width": 4, "blocks": 1, "groups": 1, "residual_scale": 1.0}


@pytest.fixture(scope="session")
def params() -> Callable[..., Params]:
    """Parameters; sections are merged, plain values replaced."""

    def make(kind: str = "edsr", **changes: Any) -> Params:
        values: dict[str, Any] = {
            "network": {"kind": kind, **SIZE},
            "factor": 3,
            "through_plane": "auto",
            "perceptual": "none",
            "optimisation": {
                "learning_rate": 1e-3,
                "batch": 2,
                "patch": (4, 12),
                "epochs": 2,
                "steps_per_epoch": 3,
                "adversarial_epochs": 2,
                "adversarial": 0.005,
                "pixel": 0.01,
                "perceptual": 1.0,
                "cache_gb": 1.0,
            },
            "seed": 0,
            "window": {"kind": "fixed", "low": 0, "high": 1},
            "hardware": {"accelerator": "cpu", "devices": 1, "precision": "32-true"},
        }
        for name, value in changes.items():
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
        return Params(**values)

    return make


@pytest.fixture(scope="session")
def fabric(params: Callable[..., Params]) -> Fabric:
    return launch_fabric(params().hardware)


@pytest.fixture(scope="session")
def isotropic() -> Callable[..., Case]:
    """Make a case of slices `(D, C, H, W)`, 1 mm apart along every axis."""

    def make(slices: Floats) -> Case:
        stored = np.ascontiguousarray(slices.transpose(2, 3, 0, 1).astype(np.float32))
        stored = stored[..., 0] if stored.shape[-1] == 1 else stored
        return Case(Volume(stored, nib.Nifti1Image(stored, np.eye(4)).header))

    return make


@pytest.fixture(scope="session")
def waves(isotropic: Callable[..., Case]) -> Callable[..., dict[str, Promise]]:
    """Promise isotropic cases of smooth oblique waves about ten slices long, in [0, 1]."""

    def promise(count: int = 2, first: int = 0, channels: int = 1) -> dict[str, Promise]:
        def make(seed: int) -> Promise:
            rng = np.random.default_rng(seed)
            d, h, w = np.indices((25, 14, 16))
            phases = rng.uniform(0, 2 * np.pi, channels)
            arguments = [2 * np.pi * (d / 10 + h / 30 + w / 40) + phase for phase in phases]
            case = isotropic(0.5 + 0.4 * np.sin(np.stack(arguments, 1)))
            return Promise(lambda: case, f"waves {seed} {channels}")

        return {f"case{seed}": make(seed) for seed in range(first, first + count)}

    return promise
