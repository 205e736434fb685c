"""Super-resolution node: train the baselines that the comparison names."""

from functools import partial

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import States
from slicefill.params import ComparisonParams, SuperResolutionParams
from slicefill.types import Checkpoint, ModelPromise, Promise


def train_super_resolution(
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    states: States,
    params: SuperResolutionParams,
    comparison: ComparisonParams,
) -> dict[str, ModelPromise]:
    """Promise every network of `super_resolution.networks` that a chosen method imputes with.

    They learn from pairs of low and high resolution, which only isotropic cases give.
    """
    wanted = [m.imputed_by for m in comparison.chosen.values() if m.imputed_by in params.networks]
    if not wanted:
        return {}
    from slicefill.imputation.methods.super_resolution.train import training_fingerprint
    from slicefill.ingestion.splits import by_split

    parts = by_split(cases, splits)
    training, validation = parts["train"], parts["validation"]
    return {
        name: ModelPromise(
            partial(_train, training, validation, name, params, states),
            training_fingerprint(training, validation, name, params),
        )
        for name in dict.fromkeys(wanted)
    }


def _train(
    training: dict[str, Promise],
    validation: dict[str, Promise],
    name: str,
    params: SuperResolutionParams,
    states: States,
) -> Checkpoint:
    from slicefill.imputation.methods.super_resolution.train import train
    from slicefill.training.fit import Run

    with tracking.child_run(name):
        run = Run(states[name], tracking.reporter("super_resolution/"))
        return train(training, validation, name, params, run)
