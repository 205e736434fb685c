"""The objectives of tuning, measured on held-out subjects from anisotropic volumes alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from slicefill.geometry import through_plane_axis
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer, learned_imputer
from slicefill.metrics.scoring import corresponding_slices, score_imputed_case
from slicefill.params import (
    AugmentationParams,
    EvaluationParams,
    ImputationParams,
    SegmentationParams,
)
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.scans import Scan, ScanPromise, describe_slices, make_scan
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.training.fit import Run, Stateless
from slicefill.tuning.folds import Fold
from slicefill.types import Checkpoint, Lazy, Promise

_METHOD = "trial"  # method in the records of imputed cases


@dataclass(frozen=True)
class TrialScorer:
    """Scores the model of a trial on a fold; holds every number of that besides the model.

    Attributes:
        imputation: How intervals are imputed.
        evaluation: Label names, and how synthetic slices are scored.
        segmentation: The network of `downstream_dice`.
        augmentation: What that network sees.
        engine: Which network it is.
    """

    imputation: ImputationParams
    evaluation: EvaluationParams
    segmentation: SegmentationParams
    augmentation: AugmentationParams
    engine: str

    @property
    def plain(self) -> list[Any]:
        """All of it as plain values, except for the hardware."""
        parts = (self.imputation, self.evaluation, self.segmentation, self.augmentation)
        return [self.engine, *(part.model_dump(exclude={"hardware"}) for part in parts)]

    def score(self, names: Sequence[str], checkpoint: Checkpoint, fold: Fold) -> dict[str, float]:
        """Measure the named objectives on one fold; what they share is computed once."""
        scores: dict[str, float] = {}
        for measure in dict.fromkeys(OBJECTIVES[name].measure for name in names):
            scores |= measure(checkpoint, fold, self)
        return {name: scores[name] for name in names}


Measure = Callable[[Checkpoint, Fold, TrialScorer], dict[str, float]]


def measure_inner_slices(
    checkpoint: Checkpoint, fold: Fold, scorer: TrialScorer
) -> dict[str, float]:
    """PSNR (dB) and SSIM of the held-out inner slices, at the best epoch."""
    return {name: float(checkpoint["validation"][name]) for name in ("psnr", "ssim")}


def measure_labels(checkpoint: Checkpoint, fold: Fold, scorer: TrialScorer) -> dict[str, float]:
    """Leave out every other acquired slice, impute, and score the labels of those left out.

    Returns:
        `label_dice`: mean Dice of synthetic slices; `label_volume_bias`: mean magnitude of their
        relative volume error. Over the held-out cases with labels and three slices or more.

    Raises:
        ValueError: If there is no such case.
    """
    rule = scorer.imputation.counted(1)
    imputer = learned_imputer(_METHOD, checkpoint, rule)
    scores = [_score_labels(promise, imputer, rule, scorer) for promise in fold.held_out.values()]
    measured = np.array([row for row in scores if row is not None], dtype=float).reshape(-1, 2)
    if not np.isfinite(measured).any(axis=0).all():
        msg = (
            "label_dice and label_volume_bias need held-out cases with an object and at least "
            "three slices, got none: tune for psnr or ssim instead"
        )
        raise ValueError(msg)
    means = np.nanmean(measured, axis=0)
    return {"label_dice": float(means[0]), "label_volume_bias": float(means[1])}


def _score_labels(
    promise: Promise, imputer: Imputer, rule: ImputationParams, scorer: TrialScorer
) -> tuple[float, float] | None:
    """Dice and magnitude of the volume bias of one case; None if it has nothing to score."""
    acquired_case = promise.make()
    axis = through_plane_axis(acquired_case.image.affine, rule.through_plane)
    if acquired_case.label is None or acquired_case.image.stored.shape[axis] < 3:
        return None
    every_other = AnisotropizationParams(
        axis=rule.through_plane, factor=2, profile="point", fwhm=None
    )
    imputed = impute_case(subsample(acquired_case, every_other), imputer, rule)
    slices = corresponding_slices(imputed.record)
    if slices is None:
        return None
    scores = score_imputed_case(imputed, acquired_case, slices, scorer.evaluation)
    return scores["dice_mean"], scores["volume_bias_abs_mean"]


def measure_downstream(checkpoint: Checkpoint, fold: Fold, scorer: TrialScorer) -> dict[str, float]:
    """Train a segmentation network on the imputed training cases of the fold.

    Returns:
        `downstream_dice`: its best Dice on the acquired slices of the held-out subjects.
    """
    imputer = learned_imputer(_METHOD, checkpoint, scorer.imputation)

    def scans(cases: Mapping[str, Promise]) -> dict[str, ScanPromise]:
        return {
            case: Lazy(partial(_impute_scan, promise, imputer, scorer), promise.fingerprint)
            for case, promise in cases.items()
        }

    params = scorer.segmentation
    classes = tuple(sorted(params.label_names))
    data = SegmentationData(scans(fold.training), scans(fold.held_out), classes)
    setting = Setting(params, scorer.augmentation, params.seeds[0])
    run = Run(Stateless(), lambda values, epoch: None)
    engine = find_engine(scorer.engine, params)
    trained = engine.module.train(data, engine.params, setting, run)
    return {"downstream_dice": float(trained["validation"]["dice"])}


def _impute_scan(promise: Promise, imputer: Imputer, scorer: TrialScorer) -> Scan:
    acquired_case = promise.make()
    imputed = impute_case(acquired_case, imputer, scorer.imputation)
    weights = [
        row["weight"] for row in describe_slices(acquired_case, imputed, scorer.augmentation)
    ]
    return make_scan(acquired_case, imputed, weights, scorer.augmentation)


@dataclass(frozen=True)
class TuningObjective:
    """A quantity that tuning optimises.

    Attributes:
        direction: Whether more or less is better.
        measure: Measures it, perhaps together with others.
        term: The logged term that has its value after every epoch; None: there is none.
    """

    direction: Literal["maximize", "minimize"]
    measure: Measure
    term: str | None = None


OBJECTIVES = {
    "psnr": TuningObjective("maximize", measure_inner_slices, "validation/psnr"),
    "ssim": TuningObjective("maximize", measure_inner_slices, "validation/ssim"),
    "label_dice": TuningObjective("maximize", measure_labels),
    "label_volume_bias": TuningObjective("minimize", measure_labels),
    "downstream_dice": TuningObjective("maximize", measure_downstream),
}
"""By name; to add one, write a function and a line here."""


def require_objectives(names: Sequence[str]) -> None:
    """Refuse names of objectives that do not exist.

    Raises:
        ValueError: With the list of those that exist.
    """
    unknown = [name for name in names if name not in OBJECTIVES]
    if unknown:
        msg = f"tuning.objectives: expected {', '.join(OBJECTIVES)}, got {', '.join(unknown)}"
        raise ValueError(msg)
