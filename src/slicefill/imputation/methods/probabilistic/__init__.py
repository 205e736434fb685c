"""Several imputations of every scan, image and label, drawn from a distribution.

A hierarchical conditional variational autoencoder (Hung et al., 2021), recast: what is missing are
slices. One draw of the latents holds for the whole volume. `docs/probabilistic.md` has its figures.
"""

from functools import partial
from typing import TYPE_CHECKING

from slicefill.imputation.methods import LearningData
from slicefill.imputation.methods.probabilistic.params import Params
from slicefill.params import ImputationParams
from slicefill.types import Checkpoint, Method, Promise

if TYPE_CHECKING:  # brings torch
    from slicefill.training.fit import Run

__all__ = ["SECTION", "Params", "load", "train", "training_fingerprint"]
SECTION = "probabilistic"


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    """Rebuild a trained network on the device of `imputation.hardware` (`MethodFile`)."""
    from slicefill.imputation.methods.probabilistic.drawing import load_sampler
    from slicefill.imputation.methods.probabilistic.infer import impute_by_sampling

    if checkpoint is None:
        msg = "probabilistic: expected the checkpoint of a training, got none"
        raise ValueError(msg)
    sampler = load_sampler(checkpoint, params.samples if params else None, imputation)
    return partial(impute_by_sampling, sampler, ends=imputation.label_ends)


def train(data: LearningData, params: Params, run: "Run") -> Checkpoint:
    """Train on cases whose every slice is known (`MethodFile`)."""
    from slicefill.imputation.methods.probabilistic import training

    return training.train(_divide(data), params, run)


def training_fingerprint(data: LearningData, params: Params) -> str:
    """Return the fingerprint of the cases and of every number (`MethodFile`)."""
    from slicefill.imputation.methods.probabilistic import training

    return training.training_fingerprint(_divide(data), params)


def _divide(data: LearningData) -> dict[str, dict[str, Promise]]:
    """Divide isotropic cases; without any, acquired ones, whose own slices are then removed."""
    from slicefill.ingestion.splits import parts_to_learn

    remedy = "give more scans, or raise ingestion.split"
    return parts_to_learn(data.isotropic or data.acquired, data.splits, SECTION, remedy)
