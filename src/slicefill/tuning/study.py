"""An Optuna study: where it is stored, which values its trials try, when they are pruned."""

import logging
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import (
    BaseStorage,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
)
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from slicefill.fingerprint import fingerprint
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.params.tuning import TuningParams
from slicefill.tuning.folds import Fold, gather_folds
from slicefill.tuning.objectives import OBJECTIVES, TrialScorer, require_objectives
from slicefill.tuning.space import apply_values, check_space, starting_values
from slicefill.tuning.trial import (
    FAILURE,
    START,
    CrossValidation,
    Watch,
    followed_term,
    retry_lost,
    run_trial,
    steps_per_fold,
)

logger = logging.getLogger(__name__)
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # Optuna's, on names and retries
_MISSED = 4  # heartbeats without which a worker counts as dead


def set_up_validation(
    folds: list[Fold], params: SynthesisParams, tuning: TuningParams, scorer: TrialScorer
) -> CrossValidation:
    """Check the space, then read every case once.

    Raises:
        ValueError: If an objective, a name or a value of the space does not fit, or a fold has no
            group.
    """
    require_objectives(tuning.objectives)
    changed = apply_values(params, {**tuning.overrides, "hardware.devices": 1})
    check_space(tuning.tuned, changed)
    perceptual = "per" in changed.lambdas or "weights.per" in tuning.tuned
    training_sets = gather_folds(folds, changed, tuning.features_gb if perceptual else None)
    return CrossValidation(folds, training_sets, changed, tuning, scorer)


def name_study(
    folds: list[Fold], params: SynthesisParams, tuning: TuningParams, scorer: TrialScorer
) -> str:
    """Name a study after all that makes its trials comparable.

    With other cases, folds, objectives or training parameters it is another study; with another
    budget, sampler or pruner it is the same.
    """
    cases = [fold.fingerprints for fold in folds]
    asked = tuning.model_dump(include={"space", "objectives"})
    trained = apply_values(params, tuning.overrides).in_force
    trained.pop("hardware")
    logged = all(OBJECTIVES[name].term for name in tuning.objectives)  # by the training itself
    own = fingerprint(cases, asked, trained, None if logged else scorer.plain)
    return f"{tuning.study}-{own[:8]}"


def open_study(journal: str, name: str, validation: CrossValidation) -> optuna.Study:
    """Make a study, or go on with the one of that name.

    Args:
        journal: File that keeps it where `tuning.storage` names no database.
        name: As `name_study` says.
        validation: What its trials run.
    """
    tuning = validation.tuning
    names: list[str] = list(tuning.objectives)
    study = optuna.create_study(
        storage=make_storage(journal, tuning),
        study_name=name,
        load_if_exists=True,
        directions=[OBJECTIVES[objective].direction for objective in names],
        sampler=SeededSampler(tuning.seed, tuning.startup_trials),
        pruner=make_pruner(tuning, steps_per_fold(validation.params) * len(validation.folds)),
    )
    study.set_metric_names(names)
    for preset, values in starting_values(tuning.start, tuning.tuned, validation.params).items():
        study.enqueue_trial(values, user_attrs={START: preset}, skip_if_exists=True)
    return study


def make_storage(journal: str, tuning: TuningParams) -> BaseStorage:
    """Open the database of `tuning.storage`, or the journal file where there is none.

    Raises:
        ValueError: If the journal would have to lie in an object store.
    """
    if tuning.storage is None:
        if "://" in journal:
            msg = (
                f"{journal}: expected a path on a disk, because nothing can be appended to an "
                "object store: name one in the catalog (tuning_journal), or set tuning.storage"
            )
            raise ValueError(msg)
        Path(journal).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(journal))
    return RDBStorage(
        tuning.storage.get_secret_value(),
        engine_kwargs={"pool_pre_ping": True},  # a connection may be gone after a long trial
        heartbeat_interval=tuning.heartbeat,
        grace_period=_MISSED * tuning.heartbeat,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(tuning.retries),
    )


def search(study: optuna.Study, validation: CrossValidation, watch: Watch) -> None:
    """Run trials until the budget of all workers, or the time of this one, is used up.

    A trial that fails is recorded with its reason and the others go on. One whose worker died
    is begun again.

    Raises:
        ValueError: If no trial was completed; says why the last one failed.
    """
    tuning = validation.tuning
    if tuning.pruner != "none" and followed_term(tuning) is None:
        logger.info("no trial is stopped early: that needs psnr or ssim as the only objective")
    end = time.monotonic() + 60 * (tuning.minutes or float("inf"))
    run = partial(run_trial, validation=validation, watch=watch)
    while time.monotonic() < end:
        recover_lost(study, tuning)
        if count_begun(study) >= tuning.trials:
            break
        study.optimize(run, n_trials=1, catch=(Exception,))
    _require_completed(study)


def _require_completed(study: optuna.Study) -> None:
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    if TrialState.RUNNING in states:
        logger.info("trials still run elsewhere; run again to have them in the tables")
    if TrialState.COMPLETE not in states:
        reasons = [t.user_attrs[FAILURE] for t in study.trials if FAILURE in t.user_attrs]
        last = reasons[-1] if reasons else "none failed: raise tuning.trials or tuning.minutes"
        msg = f"no trial of study {study.study_name} was completed; the last reason: {last}"
        raise ValueError(msg)


def recover_lost(study: optuna.Study, tuning: TuningParams) -> None:
    """Enqueue trials again whose worker died, as its process or its heartbeat shows."""
    if tuning.storage is None:
        retry_lost(study, tuning.retries)
    else:
        optuna.storages.fail_stale_trials(study)


class SeededSampler(BaseSampler):
    """TPE whose random numbers follow from the seed and the number of the trial.

    So no two workers draw the same, and a study that was stopped goes on as one that was not.
    """

    def __init__(self, seed: int, startup_trials: int) -> None:
        self._seed, self._startup = seed, startup_trials
        self._made: tuple[int, TPESampler] = (-1, self._make(-1))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As TPE does."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As TPE does."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def _of(self, trial: FrozenTrial) -> TPESampler:
        if self._made[0] != trial.number:
            self._made = (trial.number, self._make(trial.number))
        return self._made[1]

    def _make(self, number: int) -> TPESampler:
        # What others are trying now counts as bad, so that workers keep apart.
        return TPESampler(
            n_startup_trials=self._startup,
            seed=1000 * self._seed + number + 1,
            constant_liar=True,
        )


def make_pruner(params: TuningParams, steps: int) -> BasePruner:
    """Make the pruner.

    Args:
        params: Its kind, and what it waits for.
        steps: Most steps of a trial: epochs of all folds.
    """
    if params.pruner == "median":
        return MedianPruner(params.startup_trials, n_warmup_steps=params.warmup_epochs)
    if params.pruner == "hyperband":
        return HyperbandPruner(min_resource=params.warmup_epochs, max_resource=max(steps, 1))
    return NopPruner()


def lost_numbers(study: optuna.Study) -> set[int]:
    """Return the trials whose worker died and that were started again under another number."""
    histories = (trial.system_attrs.get("retry_history", []) for trial in study.trials)
    return {number for history in histories for number in history}


def count_begun(study: optuna.Study) -> int:
    """Count the trials that were begun by any worker, those that were lost not."""
    lost = lost_numbers(study)
    begun = (trial for trial in study.get_trials(deepcopy=False) if trial.number not in lost)
    return sum(trial.state != TrialState.WAITING for trial in begun)
