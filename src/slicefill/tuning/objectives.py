"""What a trial is judged by, on held-out subjects and anisotropic volumes alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from slicefill.geometry import through_plane_axis
from slicefill.imputation.impute import Imputer, impute_case, learned_imputer
from slicefill.metrics.correspondence import corresponding_slices
from slicefill.metrics.scoring import score_imputed_case
from slicefill.params import (
    AugmentationParams,
    EvaluationParams,
    ImputationParams,
    SegmentationParams,
)
from slicefill.segmentation.engines.registry import find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.scans import Scan, ScanPromise, make_scan
from slicefill.segmentation.slices import describe_slices
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.training.fit import Run
from slicefill.tuning.folds import Fold
from slicefill.tuning.stateless import Stateless
from slicefill.types import Checkpoint, Lazy, Promise

_METHOD = "trial"  # what the records of imputed cases name


@dataclass(frozen=True)
class Judging:
    """Every number that judging needs besides the model.

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
    def marks(self) -> list[Any]:
        """All of it as plain values, but for where it runs."""
        parts = (self.imputation, self.evaluation, self.segmentation, self.augmentation)
        return [self.engine, *(part.model_dump(exclude={"hardware"}) for part in parts)]


Judge = Callable[[Checkpoint, Fold, Judging], dict[str, float]]


def judge_inner_slices(checkpoint: Checkpoint, fold: Fold, judging: Judging) -> dict[str, float]:
    """PSNR (dB) and SSIM of the held-out inner slices, at the best epoch."""
    return {name: float(checkpoint["validation"][name]) for name in ("psnr", "ssim")}


def judge_labels(checkpoint: Checkpoint, fold: Fold, judging: Judging) -> dict[str, float]:
    """Leave every other thick slice out, impute, and score the labels of what was left out.

    Returns:
        `label_dice`: mean Dice of synthetic slices; `label_volume_bias`: mean magnitude of their
        relative volume error. Over the held-out cases with labels and three slices or more.

    Raises:
        ValueError: If there is no such case.
    """
    rule = judging.imputation.model_copy(update={"count": 1, "target_spacing": None})
    imputer = learned_imputer(_METHOD, checkpoint, rule)
    scores = [_score_labels(promise, imputer, rule, judging) for promise in fold.held_out.values()]
    measured = np.array([row for row in scores if row is not None], dtype=float).reshape(-1, 2)
    if not np.isfinite(measured).any(axis=0).all():
        msg = (
            "label_dice and label_volume_bias need held-out cases with an object and at least "
            "three thick slices, got none: tune for psnr or ssim instead"
        )
        raise ValueError(msg)
    means = np.nanmean(measured, axis=0)
    return {"label_dice": float(means[0]), "label_volume_bias": float(means[1])}


def _score_labels(
    promise: Promise, imputer: Imputer, rule: ImputationParams, judging: Judging
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
    scored = corresponding_slices(imputed.record, judging.evaluation.label_names)
    if scored is None:
        return None
    scores = score_imputed_case(imputed, acquired_case, scored, judging.evaluation)
    return scores["dice_mean"], scores["volume_bias_abs_mean"]


def judge_downstream(checkpoint: Checkpoint, fold: Fold, judging: Judging) -> dict[str, float]:
    """Train a segmentation network on the imputed training cases of the fold.

    Returns:
        `downstream_dice`: its best Dice on the acquired slices of the held-out subjects.
    """
    imputer = learned_imputer(_METHOD, checkpoint, judging.imputation)

    def scans(cases: Mapping[str, Promise]) -> dict[str, ScanPromise]:
        return {
            case: Lazy(partial(_impute_scan, promise, imputer, judging), promise.fingerprint)
            for case, promise in cases.items()
        }

    params = judging.segmentation
    classes = tuple(sorted(params.label_names))
    data = SegmentationData(scans(fold.training), scans(fold.held_out), classes)
    setting = Setting(params, judging.augmentation, params.seeds[0])
    run = Run(Stateless(), lambda values, epoch: None)
    trained = find_engine(judging.engine).train(data, setting, run)
    return {"downstream_dice": float(trained["validation"]["dice"])}


def _impute_scan(promise: Promise, imputer: Imputer, judging: Judging) -> Scan:
    acquired_case = promise.make()
    imputed = impute_case(acquired_case, imputer, judging.imputation)
    weights = [
        row["weight"] for row in describe_slices(acquired_case, imputed, judging.augmentation)
    ]
    return make_scan(acquired_case, imputed, weights, judging.augmentation)


@dataclass(frozen=True)
class Objective:
    """What is optimised, and how.

    Attributes:
        direction: Whether more or less is better.
        judge: Measures it.
        term: What tells of it after every epoch; None: nothing does.
    """

    direction: Literal["maximize", "minimize"]
    judge: Judge
    term: str | None = None


OBJECTIVES = {
    "psnr": Objective("maximize", judge_inner_slices, "validation/psnr"),
    "ssim": Objective("maximize", judge_inner_slices, "validation/ssim"),
    "label_dice": Objective("maximize", judge_labels),
    "label_volume_bias": Objective("minimize", judge_labels),
    "downstream_dice": Objective("maximize", judge_downstream),
}
"""To add one: a function, a line here, and its name in `params/tuning.py`."""


def judge(
    names: Sequence[str], checkpoint: Checkpoint, fold: Fold, judging: Judging
) -> dict[str, float]:
    """Measure the named objectives on one fold; what they share is computed once."""
    scores: dict[str, float] = {}
    for function in dict.fromkeys(OBJECTIVES[name].judge for name in names):
        scores |= function(checkpoint, fold, judging)
    return {name: scores[name] for name in names}
