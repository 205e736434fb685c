"""One trial: a training per fold, and the recovery of trials whose worker died."""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training import train_on
from slicefill.imputation.methods.slice_imputation.training_set import TrainingSet
from slicefill.params.tuning import TuningParams
from slicefill.training.fit import Run, Stateless
from slicefill.tuning.folds import Fold
from slicefill.tuning.objectives import OBJECTIVES, TrialScorer
from slicefill.tuning.space import apply_values, suggest

Report = Callable[[Mapping[str, float], int], None]
Watch = Callable[[int, Mapping[str, Any]], AbstractContextManager[Callable[[str], Report]]]
"""From the number of a trial and its values to a context that makes reporters by prefix."""


@dataclass(frozen=True)
class CrossValidation:
    """The cross-validation that every trial of a study runs with its own values.

    Attributes:
        folds: Cases of every fold.
        training_sets: Views and groups of every fold.
        params: Training parameters, `tuning.overrides` in place.
        tuning: Space and objectives.
        scorer: Measures the objectives.
    """

    folds: Sequence[Fold]
    training_sets: Sequence[TrainingSet]
    params: SynthesisParams
    tuning: TuningParams
    scorer: TrialScorer


@dataclass
class Course:
    """The progress of a trial, as a pruner sees it.

    The value of a step is what was gained over linear interpolation (the untrained network) so
    far, summed over the folds and divided by their number: it never falls, and folds that are
    hard do not make the values of a trial look bad.

    Attributes:
        trial: Receives the value after every epoch.
        term: The logged term that is followed; None: none, and the trial is never stopped.
        folds: Number of folds.
        span: Steps per fold.
        gains: Best gain of each fold so far.
    """

    trial: optuna.Trial
    term: str | None
    folds: int
    span: int
    gains: dict[int, float] = field(default_factory=dict)
    _untrained: float = 0.0

    def follow(self, fold: int, report: Report, values: Mapping[str, float], epoch: int) -> None:
        """Report an epoch of a fold.

        Raises:
            optuna.TrialPruned: If the trial is not worth going on with.
        """
        report(values, epoch)
        if self.term is None:
            return
        if epoch == 0:
            self._untrained = values[self.term]
        gain = values[self.term] - self._untrained
        self.gains[fold] = max(self.gains.get(fold, 0.0), gain)
        self.trial.report(sum(self.gains.values()) / self.folds, fold * self.span + epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def run_trial(trial: optuna.Trial, validation: CrossValidation, watch: Watch) -> list[float]:
    """Cross-validate the values that the sampler suggests.

    Returns:
        The mean of each objective over the folds.

    Raises:
        optuna.TrialPruned: If it was stopped because others were better.
        Exception: Whatever stopped a training; the trial keeps the reason.
    """
    trial.set_user_attr(WORKER, this_worker())
    values = suggest(trial, validation.tuning.tuned, validation.params)
    try:
        with watch(trial.number, values) as reporter:
            scores = _cross_validate(
                trial, apply_values(validation.params, values), validation, reporter
            )
            outcome = {f"objective/{name}": float(np.mean(own)) for name, own in scores.items()}
            reporter("")(outcome or {"pruned": 1.0}, 0)
    except Exception as error:
        trial.set_user_attr(FAILURE, f"{type(error).__name__}: {error}")
        raise
    if not scores:
        raise optuna.TrialPruned
    trial.set_user_attr(FOLDS, scores)
    return list(outcome.values())


def _cross_validate(
    trial: optuna.Trial,
    params: SynthesisParams,
    validation: CrossValidation,
    reporter: Callable[[str], Report],
) -> dict[str, list[float]]:
    """Scores per objective and fold; empty if the trial was stopped."""
    names = validation.tuning.objectives
    course = Course(
        trial, followed_term(validation.tuning), len(validation.folds), steps_per_fold(params)
    )
    scores: dict[str, list[float]] = {name: [] for name in names}
    for number, (fold, training_set) in enumerate(
        zip(validation.folds, validation.training_sets, strict=True)
    ):
        follow = partial(course.follow, number, reporter(f"fold_{number}/"))
        try:
            checkpoint = train_on(training_set, params, Run(Stateless(), follow), "")
        except optuna.TrialPruned:
            return {}
        for name, value in validation.scorer.score(names, checkpoint, fold).items():
            scores[name].append(value)
    return scores


def followed_term(tuning: TuningParams) -> str | None:
    """Return the term that pruning follows: of the only objective, if it is logged every epoch."""
    single = len(tuning.objectives) == 1 and tuning.pruner != "none"
    return OBJECTIVES[tuning.objectives[0]].term if single else None


def steps_per_fold(params: SynthesisParams) -> int:
    """Steps that a fold takes: the untrained network and every epoch."""
    return params.pretraining_epochs + params.optimisation.epochs + 1


logger = logging.getLogger(__name__)
WORKER, FOLDS, FAILURE, START = "worker", "folds", "failure", "start"
"""Attributes of a trial: who runs it, scores by fold, the reason of a failure, a preset tried."""
_UNSIGNED = timedelta(minutes=1)  # a worker writes its name into a trial at once


def this_worker() -> str:
    """Name this process: host, process id and the second in which it started."""
    return _name(psutil.Process())


def retry_lost(study: optuna.Study, retries: int) -> None:
    """Fail trials in a journal whose process on this machine is gone, and enqueue them again.

    Databases have heartbeats, by which Optuna does the same whatever the machine.

    Args:
        study: All workers'.
        retries: How often a trial is started again.
    """
    retry = RetryHeartbeatStaleTrialCallback(max_retry=retries)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if not _is_gone(trial):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):
            continue  # another worker was faster
        logger.warning("trial %d: its worker died; it is tried again", trial.number)
        lost = deepcopy(study.trials[trial.number])
        lost.user_attrs.pop(WORKER, None)  # else the worker that takes it up looks dead at first
        retry(study, lost)


def _is_gone(trial: FrozenTrial) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        started = trial.datetime_start or datetime.now()
        return datetime.now() - started > _UNSIGNED
    host, process, _ = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return False  # unknown here
    try:
        return bool(_name(psutil.Process(int(process))) != worker)
    except psutil.NoSuchProcess:
        return True


def _name(process: psutil.Process) -> str:
    return f"{socket.gethostname()}:{process.pid}:{int(process.create_time())}"
