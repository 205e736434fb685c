"""Synthesis nodes: train on the anisotropic cases of the training subjects, keep the history."""

from functools import partial
from typing import Any

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import States
from slicefill.params import SynthesisParams
from slicefill.types import ModelPromise, Models, Promise


def train_synthesis(
    acquired_cases: dict[str, Promise],
    splits: pd.DataFrame,
    states: States,
    best_lambdas: dict[str, Any],
    params: SynthesisParams,
) -> dict[str, ModelPromise]:
    """Promise the model of the chosen variant; test cases are not even read.

    Preset `tuned` takes what tuning found for this experiment, if it was run.

    Raises:
        ValueError: If no case is left for training, or for validation.
    """
    from slicefill.imputation.methods.slice_imputation.train import (
        TrainingData,
        train,
        training_fingerprint,
    )
    from slicefill.ingestion.splits import by_split
    from slicefill.training.fit import Run
    from slicefill.tuning.tuned import use_best

    params = use_best(params, best_lambdas)
    parts = by_split(acquired_cases, splits)
    for name in ("train", "validation"):
        if not parts[name]:
            sizes = {split: len(cases) for split, cases in parts.items()}
            msg = (
                f"ingestion.split: expected cases of a subject in {name}, got {sizes}; give more "
                "scans, change the fractions, or impute without training: "
                "kedro run --pipelines=imputation"
            )
            raise ValueError(msg)
    data = TrainingData(parts["train"], parts["validation"], params.through_plane)
    make = partial(train, data, params, Run(states[params.variant], tracking.reporter()))
    return {params.variant: ModelPromise(make, training_fingerprint(data, params))}


def record_history(models: Models, params: SynthesisParams) -> pd.DataFrame:
    """Tabulate every logged term of the training of the chosen variant.

    Raises:
        ValueError: If its training failed.
    """
    if params.variant not in models:
        msg = f"the training of {params.variant} failed, the log above says where; run again"
        raise ValueError(msg)
    return pd.DataFrame(models[params.variant]()["history"])
