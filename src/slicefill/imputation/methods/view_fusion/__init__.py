"""View fusion: a U-Net of the whole stack fuses candidates for every synthetic voxel."""

from typing import TYPE_CHECKING

from slicefill.advice import kedro_run
from slicefill.imputation.methods import LearningData
from slicefill.imputation.methods.view_fusion.params import ViewFusionParams as Params
from slicefill.params.imputation import ImputationParams
from slicefill.types import Checkpoint, Method

if TYPE_CHECKING:  # brings torch
    from slicefill.imputation.methods.view_fusion.learner import FusionData
    from slicefill.training.fit import Run

__all__ = ["SECTION", "Params", "load", "train", "training_fingerprint"]
SECTION = "view_fusion"


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    """Rebuild a trained network on the device of `imputation.hardware` (`MethodFile`)."""
    from slicefill.imputation.methods.view_fusion.infer import impute_by_fusion, load_fusion_imputer

    if checkpoint is None:
        msg = "view_fusion: expected the checkpoint of a training, got none"
        raise ValueError(msg)
    imputer = load_fusion_imputer(checkpoint, imputation)
    return lambda stack, positions, _: impute_by_fusion(imputer, stack, positions)


def train(data: LearningData, params: Params, run: "Run") -> Checkpoint:
    """Train on the isotropic cases of the training subjects (`MethodFile`)."""
    from slicefill.imputation.methods.view_fusion import training

    return training.train(_divide(data), params, run)


def training_fingerprint(data: LearningData, params: Params) -> str:
    """Return the fingerprint of the cases and of every number in force (`MethodFile`)."""
    from slicefill.imputation.methods.view_fusion import training

    return training.training_fingerprint(_divide(data), params)


def _divide(data: LearningData) -> "FusionData":
    from slicefill.imputation.methods.pretrained import load_pretrained
    from slicefill.imputation.methods.view_fusion.learner import FusionData
    from slicefill.ingestion.splits import by_split

    known = data.isotropic or data.acquired
    parts = by_split(known, data.splits)
    for name in ("train", "validation"):
        if not parts[name]:
            sizes = {split: len(cases) for split, cases in parts.items()}
            msg = (
                f"view_fusion: expected cases of a subject in {name}, got {sizes}; made volumes "
                f"serve too: {kedro_run('pretraining')}"
            )
            raise ValueError(msg)
    return FusionData(parts["train"], parts["validation"], load_pretrained())
