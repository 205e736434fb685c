"""What the synthesis tests share: parameters, thick phantom cases, a processor."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.params import ImputationParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Case, Promise, Volume

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "iia": {"tp_smooth": False, "classifier": "pretrained"},
    "plain": dict.fromkeys(("tp_smooth", "global_discriminator", "local_discriminator"), False),
    "refined": {"refinement": True, "residual": 0.2},
}


@pytest.fixture
def room() -> Callable[[Callable[[], Any]], int]:
    """Say how much memory a call takes at most, bytes, once what it imports is imported."""

    def measure(call: Callable[[], Any]) -> int:
        call()
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure


@pytest.fixture(scope="session")
def params() -> Callable[..., SynthesisParams]:
    """Parameters of a tiny training; sections are merged, plain values replaced."""

    def make(*, variant: str = "paper", **changes: Any) -> SynthesisParams:
        values: dict[str, Any] = {
            "parts": VARIANTS[variant],
            "preset": "test",
            "weights": {
                "test": {"rec": 1, "warp": 0.5, "smooth": 0.01, "adv": 0.01, "tp_smooth": 0.01}
            },
            "perceptual": "none",
            "network": {
                "width": 4,
                "depth": 2,
                "block": 1,
                "time_form": "linear_motion",
            },
            "critic_width": 4,
            "through_plane": "auto",
            "groups": {
                "inner": (1, 2),
                "through_plane": 1.0,
                "in_plane": 1.0,
                "in_plane_factor": None,
                "crop": (16, 16),
                "background_keep": 0.0,
                "reverse": True,
                "flip": True,
                "cache_gb": 1.0,
            },
            "optimisation": {
                "frozen": (),
                "minutes": None,
                "learning_rate": 1e-3,
                "critic_learning_rate": 1e-3,
                "warmup_steps": 2,
                "decay": "cosine",
                "gradient_clip": 2.0,
                "batch": 4,
                "epochs": 3,
                "groups_per_epoch": 16,
                "pretraining_epochs": 1,
                "keep": "best",
                "patience": 9,
                "validation_groups": 4,
                "seed": 0,
            },
            "window": {"kind": "fixed", "low": 0, "high": 1},
            "hardware": {"accelerator": "cpu", "devices": 1, "precision": "32-true"},
        }
        for name, value in changes.items():
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
        return SynthesisParams(**values)

    return make


@pytest.fixture(scope="session")
def fabric(params: Callable[..., SynthesisParams]) -> Fabric:
    return launch_fabric(params().hardware)


def _disc(row: float, column: float, radius: float, size: int) -> np.ndarray:
    """A disc with an edge one pixel wide, `(size, size)`, in [0, 1]."""
    rows, columns = np.indices((size, size))
    distance = np.hypot(rows - row, columns - column)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


@pytest.fixture(scope="session")
def disc() -> Callable[..., np.ndarray]:
    return _disc


@pytest.fixture(scope="session")
def make_case() -> Callable[..., Case]:
    """Make a case of slices `(D, H, W)` that are `interval` pixels apart, labelled above 0.5."""

    def make(slices: np.ndarray, interval: float = 4.0, labelled: bool = True) -> Case:
        def volume(stored: np.ndarray) -> Volume:
            stored = np.ascontiguousarray(np.moveaxis(stored, 0, 2))
            header = nib.Nifti1Image(stored, np.diag([1.0, 1.0, interval, 1.0])).header
            return Volume(stored, header)

        label = volume((slices > 0.5).astype(np.uint8)) if labelled else None
        return Case(volume(slices.astype(np.float32)), label)

    return make


@pytest.fixture(scope="session")
def discs(make_case: Callable[..., Case]) -> Callable[..., dict[str, Promise]]:
    """Promise cases of discs of radius 6 that move by 3 pixels a slice, up or down the columns."""

    def promise(count: int = 2, labelled: bool = True, size: int = 32) -> dict[str, Promise]:
        made = {}
        for k in range(count):
            rng = np.random.default_rng(k)
            row, start = rng.uniform(12, size - 12), rng.uniform(8, 10)
            columns = (start + 3 * np.arange(6))[:: rng.choice([-1, 1])]
            slices = np.stack([_disc(row, column, 6, size) for column in columns])
            case = make_case(slices, labelled=labelled)
            made[f"case{k}"] = Promise(lambda case=case: case, f"{k} {labelled}")
        return made

    return promise


@pytest.fixture(scope="session")
def impute(imputation_params: Callable[..., ImputationParams]) -> Callable[..., Case]:
    """Impute a case by a named method, along the largest spacing."""

    def by(method: str, case: Case, count: int = 2) -> Case:
        params = imputation_params(through_plane="auto", count=count)
        return impute_case(case, load_named(method, params), params)

    return by


@pytest.fixture
def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
