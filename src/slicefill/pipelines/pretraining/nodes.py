"""Pretraining nodes: train on procedural volumes, make the weights that the package ships."""

from functools import partial

from slicefill import tracking
from slicefill.datasets.checkpoints import States
from slicefill.params import PretrainingParams, SynthesisParams
from slicefill.types import Checkpoint, ModelPromise, Models


def train_on_procedural(
    states: States, params: SynthesisParams, volumes: PretrainingParams
) -> dict[str, ModelPromise]:
    """Promise the model of the chosen variant, trained on volumes that are made for it."""
    from slicefill.imputation.methods.slice_imputation.train import (
        TrainingData,
        train,
        training_fingerprint,
    )
    from slicefill.simulation.procedural import procedural_cases
    from slicefill.training.fit import Run

    training = procedural_cases(volumes, volumes.seed, volumes.training)
    validation = procedural_cases(volumes, volumes.seed + volumes.training, volumes.validation)
    data = TrainingData(training, validation, params.through_plane)
    make = partial(train, data, params, Run(states[params.variant], tracking.reporter()))
    return {params.variant: ModelPromise(make, training_fingerprint(data, params))}


def release_weights(
    models: Models, params: SynthesisParams, volumes: PretrainingParams
) -> Checkpoint:
    """Add to the trained model what its confidence means and what it has seen.

    Raises:
        ValueError: If its training failed.
    """
    from slicefill.imputation.uncertainty.calibration import calibrate
    from slicefill.imputation.uncertainty.domain import summarise_domain
    from slicefill.simulation.procedural import procedural_volume

    if params.variant not in models:
        msg = f"the training of {params.variant} failed, the log above says where; run again"
        raise ValueError(msg)
    first = volumes.seed + volumes.training + volumes.validation
    unseen = range(first, first + volumes.calibration)
    make = partial(procedural_volume, size=volumes.size, brain_fraction=volumes.brain_fraction)
    checkpoint = calibrate(models[params.variant](), map(make, unseen), volumes.confidence)
    return {**checkpoint, "domain": summarise_domain(map(make, unseen), volumes.domain)}
