"""Which values a trial tries, and when it is stopped."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from slicefill.params import TuningParams


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
