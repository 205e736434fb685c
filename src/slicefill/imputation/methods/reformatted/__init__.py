"""Reformatted planes: rows between the acquired rows of sagittal and coronal cuts."""

from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Any

from slicefill.advice import kedro_run
from slicefill.imputation.methods import LearningData
from slicefill.imputation.methods.classical import with_image
from slicefill.imputation.methods.reformatted.params import ReformattedParams as Params
from slicefill.imputation.neighbours import Planes, Teach
from slicefill.params.imputation import ImputationParams
from slicefill.types import Checkpoint, Method, Stack

if TYPE_CHECKING:  # brings torch
    from slicefill.imputation.methods.reformatted.infer import PlaneImputer
    from slicefill.imputation.methods.reformatted.learner import PlaneData
    from slicefill.training.fit import Run

__all__ = ["SECTION", "Params", "load", "load_shipped", "train", "training_fingerprint"]
SECTION = "reformatted"


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    """Rebuild a trained network (`MethodFile`); labels and confidence: `shape_matched`."""
    from slicefill.imputation.methods.reformatted.infer import impute_in_planes, load_plane_imputer

    if checkpoint is None:
        msg = "reformatted: expected the checkpoint of a training, got none"
        raise ValueError(msg)
    imputer = load_plane_imputer(checkpoint, imputation)
    return with_image(partial(impute_in_planes, imputer), imputation)


def load_shipped(imputation: ImputationParams) -> tuple[Planes, Teach, str]:
    """Prepare the shipped network; return it, what lets it learn, and the SHA-256 of its weights.

    Raises:
        FileNotFoundError: If the package was installed without them.
    """
    from slicefill.fingerprint import weights_fingerprint
    from slicefill.imputation.methods.pretrained import read_pretrained
    from slicefill.imputation.methods.reformatted.infer import impute_in_planes, load_plane_imputer

    checkpoint = read_pretrained(resources.files(__name__))
    imputer = load_plane_imputer(checkpoint, imputation)
    own = weights_fingerprint(checkpoint["weights"])
    return Planes(partial(impute_in_planes, imputer)), partial(_teach, imputer), own


def _teach(imputer: "PlaneImputer", stack: Stack, seed: int) -> tuple[Planes, dict[str, Any]]:
    from slicefill.imputation.methods.reformatted.infer import impute_in_planes
    from slicefill.imputation.methods.reformatted.own_slices import learn_from_slices

    learned, told = learn_from_slices(imputer, stack, seed)
    return Planes(partial(impute_in_planes, learned)), told


def train(data: LearningData, params: Params, run: "Run") -> Checkpoint:
    """Train on the isotropic cases of the training subjects, and on photographs (`MethodFile`)."""
    from slicefill.imputation.methods.reformatted import training

    return training.train(_divide(data), params, run)


def training_fingerprint(data: LearningData, params: Params) -> str:
    """Return the fingerprint of the cases and of every number in force (`MethodFile`)."""
    from slicefill.imputation.methods.reformatted import training

    return training.training_fingerprint(_divide(data), params)


def _divide(data: LearningData) -> "PlaneData":
    from slicefill.imputation.methods.reformatted.learner import PlaneData
    from slicefill.ingestion.splits import parts_to_learn

    remedy = f"made volumes serve too: {kedro_run('pretraining')}"
    parts = parts_to_learn(data.isotropic or data.acquired, data.splits, SECTION, remedy)
    return PlaneData(parts["train"], parts["validation"])
