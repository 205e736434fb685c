"""Slice Imputation (Wu et al., 2022): flows between two slices synthesise those between them."""

from typing import TYPE_CHECKING

from slicefill.advice import kedro_run
from slicefill.imputation.methods import LearningData
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams as Params
from slicefill.params.imputation import ImputationParams
from slicefill.types import Checkpoint, Method

if TYPE_CHECKING:  # brings torch
    from slicefill.imputation.methods.slice_imputation.training_set import TrainingData
    from slicefill.training.fit import Run

__all__ = ["SECTION", "Params", "load", "train", "training_fingerprint"]
SECTION = "synthesis"


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    """Rebuild a trained network on the device of `imputation.hardware` (`MethodFile`).

    With an error calibration in the checkpoint, confidence is calibrated.
    """
    from slicefill.imputation.methods.slice_imputation.infer import (
        impute_by_flow,
        load_flow_imputer,
    )
    from slicefill.imputation.methods.slice_imputation.labels import LabelRule
    from slicefill.imputation.uncertainty.confidence import (
        impute_with_confidence,
        load_calibration,
    )
    from slicefill.training.hardware import launch_fabric

    if checkpoint is None:
        msg = "slice_imputation: expected the checkpoint of a training, got none"
        raise ValueError(msg)
    fabric, rule = launch_fabric(imputation.hardware), LabelRule.of(imputation)
    imputer = load_flow_imputer(
        checkpoint, fabric, imputation.batch_pixels, rule, imputation.ensemble
    )
    calibration = load_calibration(checkpoint, imputation.confidence)
    if calibration is None:
        return lambda stack, positions, _: impute_by_flow(imputer, stack, positions)
    return lambda stack, positions, _: impute_with_confidence(
        imputer, calibration, stack, positions
    )


def train(data: LearningData, params: Params, run: "Run") -> Checkpoint:
    """Train on the acquired slices of the training subjects (`MethodFile`).

    Raises:
        ValueError: If there is no case of a training or of a validation subject.
    """
    from slicefill.imputation.methods.slice_imputation.training import train as train_network

    return train_network(_divide(data, params), params, run)


def training_fingerprint(data: LearningData, params: Params) -> str:
    """Return the fingerprint of the cases and of every number in force (`MethodFile`).

    Raises:
        ValueError: If there is no case of a training or of a validation subject, or no loss term
            for a λ.
    """
    from slicefill.imputation.methods.slice_imputation import training

    return training.training_fingerprint(_divide(data, params), params)


def _divide(data: LearningData, params: Params) -> "TrainingData":
    from slicefill.imputation.methods.slice_imputation.training_set import TrainingData
    from slicefill.ingestion.splits import parts_to_learn

    remedy = (
        "give more scans, change the fractions, or impute without training: "
        f"{kedro_run('imputation')}"
    )
    parts = parts_to_learn(data.acquired, data.splits, "ingestion.split", remedy)
    return TrainingData(parts["train"], parts["validation"], params.through_plane)
