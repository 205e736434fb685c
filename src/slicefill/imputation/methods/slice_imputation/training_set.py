"""The training set of Slice Imputation: views and groups of the cases that a run learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slicefill.imputation.methods.slice_imputation.groups import (
    Group,
    ViewSummary,
    draw_groups,
    require_groups,
    summarise_views,
)
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.params.base import AxisName
from slicefill.types import Checkpoint, Promise


@dataclass(frozen=True)
class TrainingData:
    """The cases that a run learns from.

    Attributes:
        training: Anisotropic cases.
        validation: Those that choose the epoch: of other subjects, or other parts of the scans.
        axis: Their slice axis.
        start: The checkpoint whose synthesis network training goes on from; None: from the seed.
    """

    training: Mapping[str, Promise]
    validation: Mapping[str, Promise]
    axis: AxisName
    start: Checkpoint | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Views and groups that a run learns from and is scored on, whatever the λ.

    Attributes:
        cache: Views of the training cases.
        summaries: Of the views of the training cases, for drawing groups.
        held_out: Views of the validation cases.
        scored: The validation groups that every epoch is scored on.
        features: φ of the perceptual loss; None: not used.
        start: The checkpoint that training goes on from; None: from the seed.
    """

    cache: ViewCache
    summaries: Mapping[str, Mapping[str, ViewSummary]]
    held_out: ViewCache
    scored: Sequence[Group]
    features: PerceptualFeatures | None
    start: Checkpoint | None = None


def gather_training_set(data: TrainingData, params: SynthesisParams) -> TrainingSet:
    """Read every case once and choose the validation groups.

    Raises:
        ValueError: If no case gives a group of the configured N.
    """
    cache = ViewCache(data.training, data.axis, params)
    summaries = summarise_views(cache, sorted(data.training))
    require_groups(len(summaries), "training", params)
    held_out = ViewCache(data.validation, data.axis, params)
    scored = validation_groups(summarise_views(held_out, sorted(data.validation)), params)
    require_groups(len(scored), "validation", params)
    features = PerceptualFeatures(params.perceptual) if "per" in params.lambdas else None
    return TrainingSet(cache, summaries, held_out, scored, features, data.start)


def validation_groups(
    summaries: Mapping[str, Mapping[str, ViewSummary]], params: SynthesisParams
) -> list[Group]:
    """Choose the groups that every epoch is scored on; the same for all methods with this seed."""
    rng = np.random.default_rng(params.optimisation.seed)
    smallest = params.groups.inner[0]
    fixed = params.groups.model_copy(update={"inner": (smallest, smallest), "background_keep": 0.0})
    return draw_groups(summaries, fixed, params.optimisation.validation_groups, rng)
