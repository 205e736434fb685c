"""Adaptation: the shipped weights learn from the scans that they impute, before they do."""

from typing import TYPE_CHECKING

from slicefill.imputation.methods import LearningData
from slicefill.imputation.methods.adapted.params import AdaptationParams as Params
from slicefill.params.imputation import ImputationParams
from slicefill.types import Checkpoint, Method

if TYPE_CHECKING:  # brings torch
    from slicefill.imputation.methods.adapted.holding_out import Scans
    from slicefill.training.fit import Run

__all__ = ["SECTION", "Params", "load", "train", "training_fingerprint"]
SECTION = "adaptation"


def load(
    params: Params | None, checkpoint: Checkpoint | None, imputation: ImputationParams
) -> Method:
    """Rebuild an adapted network on the device of `imputation.hardware` (`MethodFile`)."""
    from slicefill.imputation.methods import slice_imputation

    return slice_imputation.load(None, checkpoint, imputation)


def train(data: LearningData, params: Params, run: "Run") -> Checkpoint:
    """Adapt the shipped weights to the acquired slices of the cases to impute (`MethodFile`)."""
    from slicefill.imputation.methods.adapted.adaptation import adapt
    from slicefill.imputation.methods.pretrained import load_pretrained

    return adapt(_scans(data), load_pretrained(), params, run)


def training_fingerprint(data: LearningData, params: Params) -> str:
    """Return the fingerprint of scans, shipped weights and every number (`MethodFile`)."""
    from slicefill.imputation.methods.adapted.adaptation import adaptation_fingerprint
    from slicefill.imputation.methods.pretrained import load_pretrained

    return adaptation_fingerprint(_scans(data), load_pretrained(), params)


def _scans(data: LearningData) -> "Scans":
    from slicefill.imputation.methods.adapted.holding_out import Scans

    cases = {case: data.acquired[case] for case in data.imputed}
    return Scans(cases, dict(zip(data.splits["case"], data.splits["subject"], strict=True)))
