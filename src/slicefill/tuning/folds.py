"""Folds of a cross-validation by subject, and the training sets of its folds."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.groups import require_groups, summarise_views
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures
from slicefill.imputation.methods.slice_imputation.training_set import (
    TrainingSet,
    validation_groups,
)
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.types import Promise


@dataclass(frozen=True)
class Fold:
    """Anisotropic cases to train on, and those of other subjects to score.

    Attributes:
        training: By case id.
        held_out: By case id.
    """

    training: Mapping[str, Promise]
    held_out: Mapping[str, Promise]

    @property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """Fingerprints of the cases."""
        parts = {"training": self.training, "held_out": self.held_out}
        return {
            name: {case: promise.fingerprint for case, promise in cases.items()}
            for name, cases in parts.items()
        }


def make_folds(cases: Mapping[str, Promise], splits: pd.DataFrame) -> list[Fold]:
    """Divide the cases of training and validation subjects by the column `fold` of the splits.

    Test subjects take no part; a fold without any other subject is left out.

    Args:
        cases: Anisotropic cases by id.
        splits: With the columns case, split and fold; a subject is in one fold.

    Raises:
        ValueError: If fewer than two folds are left.
    """
    developed = splits[(splits["split"] != "test") & splits["case"].isin(list(cases))]
    fold_of = dict(zip(developed["case"], developed["fold"], strict=True))
    folds = sorted(set(fold_of.values()))
    if len(folds) < 2:
        msg = (
            f"tuning needs two folds of subjects outside the test split, got {len(folds)}: give "
            "more scans, or raise ingestion.split.folds and run the ingestion pipeline"
        )
        raise ValueError(msg)
    return [
        Fold(
            {case: cases[case] for case, own in fold_of.items() if own != fold},
            {case: cases[case] for case, own in fold_of.items() if own == fold},
        )
        for fold in folds
    ]


def gather_folds(
    folds: Sequence[Fold], params: SynthesisParams, features_gb: float | None
) -> list[TrainingSet]:
    """Read every case once; all trainings of all folds and trials draw from one cache.

    Args:
        folds: Of the same cases.
        params: Groups and window, which no trial changes.
        features_gb: Bound on the cached features of the perceptual loss; None: not used.

    Raises:
        ValueError: If a fold has no group to train on, or none to be scored on.
    """
    cases = {**folds[0].training, **folds[0].held_out}
    cache = ViewCache(cases, params.through_plane, params)
    summaries = summarise_views(cache, sorted(cases))
    features = None if features_gb is None else RememberedFeatures(params.perceptual, features_gb)
    training_sets = []
    for fold in folds:
        training = {case: summaries[case] for case in sorted(fold.training)}
        held_out = {case: summaries[case] for case in sorted(fold.held_out)}
        scored = validation_groups(held_out, params)
        require_groups(len(scored), "validation", params)
        training_sets.append(TrainingSet(cache, training, cache, scored, features))
    return training_sets


class RememberedFeatures(PerceptualFeatures):
    """φ of eq. (8) that caches the features of real slices, which no λ changes.

    Trials of one study see the same batches in the same order. When memory is full nothing more
    is cached, and nothing is dropped: on such a cycle, dropping the oldest would lose every entry
    before it is asked for again.
    """

    def __init__(self, source: str, gigabytes: float) -> None:
        """Build the network.

        Args:
            source: As in `PerceptualFeatures`.
            gigabytes: Bound on the cache.
        """
        super().__init__(source)
        self._free = gigabytes * 1e9
        self._remembered: dict[bytes, Tensor] = {}

    def forward(self, slices: Tensor) -> Tensor:
        """`(B, C, H, W)` in [0, 1] → `(B·C, 512, H/8, W/8)`."""
        if slices.requires_grad:  # synthetic: never the same twice
            return super().forward(slices)
        key = hashlib.sha256(slices.detach().cpu().contiguous().numpy().tobytes()).digest()
        if key not in self._remembered:
            features = super().forward(slices)
            if features.nbytes > self._free:
                return features
            self._free -= features.nbytes
            self._remembered[key] = features
        return self._remembered[key]
