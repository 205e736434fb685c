"""A small network, its parameters, and volumes of known slices."""

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from slicefill.imputation.methods.reformatted.learner import PlaneData
from slicefill.imputation.methods.reformatted.network import PlaneNetwork
from slicefill.imputation.methods.reformatted.params import ReformattedParams
from slicefill.simulation.random_fields import smooth_field
from slicefill.types import Case, Promise, Volume

SMALL = """
network: {slices: 4, beside: 1, widths: [8, 12], kernel: 3, head: 6}
patches:
  factors: [2, 3]
  intervals: 4
  width: 24
  batch: 4
  photographs: 0.5
  shrink_photographs: 3.0
  shrink_volumes: 1.5
  motion: 1.0
  overlaid: 0.3
  noise: [0.0, 0.1]
  held: 3
  fresh: 1
optimisation:
  learning_rate: 2.0e-3
  warmup_steps: 2
  average: 0.5
  gradient_clip: 2.0
  steps_per_epoch: 3
  epochs: 2
  seed: 3
through_plane: S
window: {kind: percentile, low: 0.5, high: 99.5}
hardware: {precision: 32-true}
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
def params() -> Callable[..., ReformattedParams]:
    """Parameters of a small training, with changes of its optimisation."""

    def make(**changes: Any) -> ReformattedParams:
        plain = yaml.safe_load(SMALL)
        plain["optimisation"] |= changes
        return ReformattedParams(**plain)

    return make


@pytest.fixture(scope="package")
def data() -> PlaneData:
    """Five volumes to learn from and one that is held out."""
    return PlaneData({f"{seed:02d}": _promise(seed) for seed in range(5)}, {"90": _promise(90)})


@pytest.fixture(scope="package")
def network(params: Callable[..., ReformattedParams]) -> PlaneNetwork:
    """A small network of random weights."""
    torch.manual_seed(0)
    return PlaneNetwork(params().network).eval()
