"""procedural volumes → the weights that the package ships."""

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from slicefill import tracking
from slicefill.datasets.checkpoints import StateFiles
from slicefill.io.checkpoints import StateFile
from slicefill.params import PretrainingParams
from slicefill.pipelines import stage
from slicefill.pipelines.synthesis.nodes import record_history
from slicefill.types import Checkpoint, ModelPromise, Models

if TYPE_CHECKING:
    from slicefill.imputation.methods import LearningData
    from slicefill.plugins import System


def train_on_procedural(
    states: StateFiles, variant: str, volumes: PretrainingParams, parameters: dict[str, Any]
) -> dict[str, ModelPromise]:
    """Promise the model of the chosen method, trained on volumes that are made for it."""
    from slicefill.imputation.methods import LearningData, find_method
    from slicefill.simulation.procedural import procedural_cases

    training = procedural_cases(volumes, volumes.seed, volumes.training)
    validation = procedural_cases(volumes, volumes.seed + volumes.training, volumes.validation)
    splits = pd.DataFrame(
        [(case, case, "train") for case in training]
        + [(case, case, "validation") for case in validation],
        columns=["case", "subject", "split"],
    )
    data = LearningData({**training, **validation}, {}, splits)
    system = find_method(variant, parameters)
    make = partial(_train, system, data, states[variant])
    own = system.module.training_fingerprint(data, system.params)
    return {variant: ModelPromise(make, own)}


def _train(system: "System", data: "LearningData", state: StateFile) -> Checkpoint:
    """Train; only from now on there is something to track."""
    from slicefill.training.fit import Run

    made: Checkpoint = system.module.train(data, system.params, Run(state, tracking.reporter()))
    return made


def release_weights(models: Models, variant: str, volumes: PretrainingParams) -> Checkpoint:
    """Add to a trained model of Slice Imputation its error calibration; leave others as they are.

    Raises:
        ValueError: If its training failed.
    """
    from slicefill.imputation.methods.pretrained import PRETRAINED
    from slicefill.imputation.methods.slice_imputation.training import KIND
    from slicefill.imputation.uncertainty.calibration import calibrate
    from slicefill.simulation.procedural import procedural_volume

    if variant not in models:
        msg = f"the training of {variant} failed, the log above says where; run again"
        raise ValueError(msg)
    trained = models[variant]()
    if trained["kind"] != KIND:
        return trained
    first = volumes.seed + volumes.training + volumes.validation
    unseen = range(first, first + volumes.calibration)
    make = partial(
        procedural_volume,
        size=volumes.size,
        brain_fraction=volumes.brain_fraction,
        body_fraction=volumes.body_fraction,
    )
    checkpoint = calibrate(trained, map(make, unseen), volumes.confidence)
    checkpoint["kind"] = PRETRAINED
    return checkpoint


def create_pipeline(**_: object) -> Pipeline:
    """Build the pretraining pipeline (`kedro run --pipelines=pretraining --env=pretraining`)."""
    return stage(
        "pretraining",
        [
            Node(
                train_on_procedural,
                inputs=["model_states", "params:variant", "params:pretraining", "parameters"],
                outputs="models",
                name="train_on_procedural",
            ),
            Node(
                record_history,
                inputs=["models", "params:imputation.methods", "parameters"],
                outputs="synthesis_history",
                name="record_history",
            ),
            Node(
                release_weights,
                inputs=["models", "params:variant", "params:pretraining"],
                outputs="released_weights",
                name="release_weights",
            ),
        ],
    )
