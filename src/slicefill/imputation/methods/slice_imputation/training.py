"""Training Slice Imputation on anisotropic volumes alone: one flat, resumable loop."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lightning_fabric import Fabric

from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.slice_imputation.checkpoint import (
    best_checkpoint,
    weights_fingerprint,
)
from slicefill.imputation.methods.slice_imputation.epoch import (
    Setting,
    require_groups,
    run_epoch,
    time_spent,
)
from slicefill.imputation.methods.slice_imputation.groups import Group, ViewSummary, summarise
from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures
from slicefill.imputation.methods.slice_imputation.state import Training, start_training
from slicefill.imputation.methods.slice_imputation.validation import validate, validation_groups
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.params import AxisName, SynthesisParams
from slicefill.training.fit import Run, last_state, share_run
from slicefill.training.hardware import first_for_all, launch, launch_fabric
from slicefill.types import Checkpoint, Promise

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from.

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


def training_fingerprint(data: TrainingData, params: SynthesisParams) -> str:
    """Digest of all that determines a trained model: parameters, cases, slice axis and start.

    It is the checkpoint's `fingerprint`, and the mark by which a run knows its own last state.
    """
    cases = _marks(data.training), _marks(data.validation)
    start = [] if data.start is None else [weights_fingerprint(data.start["weights"])]
    return fingerprint(params.in_force, *cases, data.axis, *start)


def train(data: TrainingData, params: SynthesisParams, run: Run) -> Checkpoint:
    """Train a synthesis model, on one device or several.

    The state is saved after every epoch together with a fingerprint of the parameters and the
    cases; a run with the same fingerprint continues from it and ends with the same weights as
    one that was never interrupted, unless its time is limited.

    Args:
        data: Anisotropic cases; needs no isotropic data, and labels only for the object classifier.
        params: Every number of the run.
        run: State keeper and reporter; picklable, as the data, where there are several devices.

    Returns:
        The checkpoint of the best epoch: plain values and tensors.

    Raises:
        ValueError: If no case gives a group of the configured N.
        FloatingPointError: If a loss term stops being finite; names the term.
    """
    return launch(params.hardware, partial(_gather_and_train, data=data, params=params, run=run))


def _gather_and_train(
    fabric: Fabric, data: TrainingData, params: SynthesisParams, run: Run
) -> Checkpoint:
    return _train(fabric, gather(data, params), params, run, training_fingerprint(data, params))


@dataclass(frozen=True)
class Material:
    """What a run learns from and is scored on, whatever the λ.

    Attributes:
        cache: Views of the training cases.
        summaries: What drawing groups needs to know of the training cases.
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


def gather(data: TrainingData, params: SynthesisParams) -> Material:
    """Read every case once and choose the validation groups.

    Raises:
        ValueError: If no case gives a group of the configured N.
    """
    cache = ViewCache(data.training, data.axis, params)
    summaries = summarise(cache, sorted(data.training))
    require_groups(len(summaries), "training", params)
    held_out = ViewCache(data.validation, data.axis, params)
    scored = validation_groups(summarise(held_out, sorted(data.validation)), params)
    require_groups(len(scored), "validation", params)
    features = PerceptualFeatures(params.perceptual) if params.lambdas["per"] > 0 else None
    return Material(cache, summaries, held_out, scored, features, data.start)


def train_on(material: Material, params: SynthesisParams, run: Run, mark: str) -> Checkpoint:
    """Train on what was gathered before; `mark` tells the states of this run from others.

    Raises:
        ValueError: If several devices are asked for, which `train` alone can start.
    """
    return _train(launch_fabric(params.hardware), material, params, run, mark)


def _train(
    fabric: Fabric, material: Material, params: SynthesisParams, run: Run, mark: str
) -> Checkpoint:
    run = share_run(fabric, run)
    features = None if material.features is None else material.features.to(fabric.device)
    setting = Setting(fabric, params, features, material.cache, material.summaries)
    training = start_training(fabric, material.cache.channels, params, material.start)
    state = last_state(run.store, mark)
    if state is not None:
        training.restore(state)
    while not _finished(training, fabric, params):
        # Epoch 0 is what it starts from, linear interpolation or the weights given: the bar.
        values = run_epoch(training, setting) if training.history else {}
        values |= first_for_all(
            fabric,
            partial(validate, training.synthesis.network, material.held_out, material.scored),
        )
        training.keep_best(values)
        training.log(values)
        run.report(values, training.epoch)
        run.store.save({**training.state(), "fingerprint": mark})
    if training.best["epoch"] <= params.pretraining_epochs:
        logger.warning(
            "no epoch was better on the held-out slices than the start (%s), which is kept; "
            "train longer, or lower the learning rate",
            "linear interpolation" if material.start is None else "the weights given",
        )
    return best_checkpoint(training, params, mark)


def _marks(cases: Mapping[str, Promise]) -> dict[str, str]:
    return {case: promise.fingerprint for case, promise in cases.items()}


def _finished(training: Training, fabric: Fabric, params: SynthesisParams) -> bool:
    options, apart = params.optimisation, params.pretraining_epochs
    waited = training.epoch - max(training.best["epoch"], apart)
    return (
        training.epoch >= apart + options.epochs
        or waited > options.patience
        or time_spent(training, fabric, options) >= 1
    )
