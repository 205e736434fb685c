"""Slice Imputation (Wu et al. 2022): networks, losses, training and use."""

from functools import partial
from typing import TYPE_CHECKING

from slicefill.fingerprint import fingerprint
from slicefill.imputation.learning import LearningData
from slicefill.params import ImputationParams
from slicefill.params.synthesis import SynthesisParams as Params
from slicefill.types import Checkpoint, Method

if TYPE_CHECKING:
    from slicefill.training.fit import Run

SECTION = "synthesis"


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    from slicefill.imputation.methods.slice_imputation.infer import impute_by_flow, load_engine
    from slicefill.imputation.methods.slice_imputation.labels import LabelRule
    from slicefill.imputation.uncertainty.confidence import impute_with_confidence, load_judge
    from slicefill.training.hardware import launch_fabric

    fabric = launch_fabric(imputation.hardware)
    engine = load_engine(
        checkpoint, fabric, imputation.batch_pixels, LabelRule.of(imputation), imputation.ensemble
    )
    judge = load_judge(checkpoint, imputation.confidence)
    if judge is not None:
        return lambda stack, positions, rng: impute_with_confidence(engine, judge, stack, positions)
    return lambda stack, positions, rng: impute_by_flow(engine, stack, positions)


def _data(data, params):
    from slicefill.imputation.methods.slice_imputation.training import TrainingData
    from slicefill.ingestion.splits import by_split

    parts = by_split(data.acquired, data.splits)
    for name in ("train", "validation"):
        if not parts[name]:
            sizes = {split: len(cases) for split, cases in parts.items()}
            msg = (
                f"ingestion.split: expected cases of a subject in {name}, got {sizes}; give more "
                "scans, change the fractions, or impute without training: "
                "kedro run --pipelines=imputation"
            )
            raise ValueError(msg)
    return TrainingData(parts["train"], parts["validation"], params.through_plane)


def train(data: LearningData, params: Params, run: "Run") -> Checkpoint:
    from slicefill.imputation.methods.slice_imputation.training import train as t

    made = t(_data(data, params), params, run)
    return {"kind": "slice_imputation", "window": params.window.model_dump(), **made}


def training_fingerprint(data: LearningData, params: Params) -> str:
    from slicefill.imputation.methods.slice_imputation.training import training_fingerprint as t

    return t(_data(data, params), params)
