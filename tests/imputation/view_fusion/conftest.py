"""A small network, its parameters, and volumes of known slices."""

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.imputation.methods.view_fusion.learner import FusionData
from slicefill.imputation.methods.view_fusion.model import ViewFusion, build_fusion
from slicefill.imputation.methods.view_fusion.params import ViewFusionParams
from slicefill.simulation.random_fields import smooth_field
from slicefill.types import Case, Promise, Volume

SMALL = """
network: {widths: [8, 8], blocks: [1, 2], head: 8, block: 2, residual: 0.5}
windows:
  {slices: 4, factors: [2, 3], crops: [16, 32], pixels: 1024, held: 3, fresh: 1}
optimisation:
  learning_rate: 1.0e-3
  warmup_steps: 2
  decay: 0.25
  average: 0.5
  error: 0.01
  gradient_clip: 1.0
  steps_per_epoch: 3
  epochs: 2
  minutes: null
  seed: 3
through_plane: S
window: {kind: percentile, low: 0.5, high: 99.5}
"""


def _promise(seed: int) -> Promise:
    def make() -> Case:
        header = nib.Nifti1Header()
        header.set_sform(np.eye(4), "scanner")
        made = smooth_field((36, 34, 26), 4.0, np.random.default_rng(seed))
        header.set_data_shape(made.shape)
        header.set_data_dtype(np.float32)
        return Case(Volume(made, header))

    return Promise(make, f"seed {seed}")


@pytest.fixture(scope="package")
def params() -> Callable[..., ViewFusionParams]:
    """Parameters of a small training, with changes of its optimisation."""

    def make(**changes: Any) -> ViewFusionParams:
        plain = yaml.safe_load(SMALL)
        plain["optimisation"] |= changes
        return ViewFusionParams(**plain)

    return make


@pytest.fixture(scope="package")
def data() -> FusionData:
    """Five volumes to learn from and one that chooses."""
    training = {f"{seed:02d}": _promise(seed) for seed in range(5)}
    return FusionData(training, {"90": _promise(90)}, load_pretrained())


@pytest.fixture(scope="package")
def model(params: Callable[..., ViewFusionParams]) -> ViewFusion:
    """A small network whose last layer is not zero."""
    torch.manual_seed(0)
    made = build_fusion(load_pretrained(), params().network)
    torch.nn.init.normal_(made.head.out.weight, std=0.1)
    return made.eval()
