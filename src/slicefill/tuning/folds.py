"""Cross-validation by subject, and what its trainings share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from slicefill.imputation.methods.slice_imputation.epoch import require_groups
from slicefill.imputation.methods.slice_imputation.groups import summarise
from slicefill.imputation.methods.slice_imputation.training import Material
from slicefill.imputation.methods.slice_imputation.validation import validation_groups
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.params import SynthesisParams
from slicefill.tuning.features import RememberedFeatures
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
    def marks(self) -> dict[str, dict[str, str]]:
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
) -> list[Material]:
    """Read every case once; all trainings of all folds and trials draw from one cache.

    Args:
        folds: Of the same cases.
        params: Groups and window, which no trial changes.
        features_gb: Bound on the remembered features of the perceptual loss; None: not used.

    Raises:
        ValueError: If a fold has no group to train on, or none to be scored on.
    """
    cases = {**folds[0].training, **folds[0].held_out}
    cache = ViewCache(cases, params.through_plane, params)
    summaries = summarise(cache, sorted(cases))
    features = None if features_gb is None else RememberedFeatures(params.perceptual, features_gb)
    materials = []
    for fold in folds:
        training = {case: summaries[case] for case in sorted(fold.training)}
        held_out = {case: summaries[case] for case in sorted(fold.held_out)}
        scored = validation_groups(held_out, params)
        require_groups(len(scored), "validation", params)
        materials.append(Material(cache, training, cache, scored, features))
    return materials
