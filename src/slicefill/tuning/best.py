"""The results of a study: its table of trials, and the best values."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from slicefill import __version__
from slicefill.params.tuning import TuningParams
from slicefill.tuning.trial import FOLDS, START

_PREFIX = re.compile("^(values?|params|user_attrs)_")  # what Optuna puts before a name


def tabulate_trials(study: optuna.Study) -> pd.DataFrame:
    """One row per trial, begun by whichever worker.

    Returns:
        `number`, `state`, the objectives (none of a trial that was stopped), the values tried by
        their dotted names, `seconds`, and the attributes of trials: `folds`, `start`,
        `worker`, `failure`.
    """
    value = "value" if len(study.directions) == 1 else "values"
    table = study.trials_dataframe(("number", "state", value, "params", "user_attrs", "duration"))
    table = table.rename(columns=lambda name: _PREFIX.sub("", name))
    table.insert(2, "seconds", table.pop("duration").dt.total_seconds())
    objectives = study.metric_names or []
    # Optuna gives a trial that was stopped its last step as value.
    table.loc[table["state"] != "COMPLETE", objectives] = np.nan
    return table


def choose_trial(study: optuna.Study) -> FrozenTrial:
    """Return the best trial; of several objectives the one nearest to the ideal.

    The ideal has the best value of each objective on the Pareto front; distances are counted in
    the range that the front has in each.
    """
    if len(study.directions) == 1:
        return study.best_trial
    front = study.best_trials
    return front[nearest_to_ideal([trial.values for trial in front], study.directions)]


def nearest_to_ideal(
    values: Sequence[Sequence[float]], directions: Sequence[StudyDirection]
) -> int:
    """Index of the row nearest to the best of every column.

    Example:
        Dice and volume bias of three trials; the second gives up little of both.

        >>> up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        >>> nearest_to_ideal([[0.80, 0.00], [0.89, 0.02], [0.90, 0.10]], [up, down])
        1
    """
    sign = np.where([direction == StudyDirection.MINIMIZE for direction in directions], 1.0, -1.0)
    costs = np.asarray(values, dtype=float) * sign
    spread = np.ptp(costs, axis=0)
    scaled = (costs - costs.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    return int(np.linalg.norm(scaled, axis=1).argmin())


def describe_best(study: optuna.Study, tuning: TuningParams, command: str) -> dict[str, Any]:
    """Plain values of the best trial and where they come from.

    Returns:
        `values` (by dotted name), `objectives` (means over the folds), `folds` (of each
        objective), `start` (objectives of each preset that was tried first),
        `study`, `trial`, `trials` (completed), `command`, `version`.
    """
    best = choose_trial(study)
    completed = study.get_trials(states=(TrialState.COMPLETE,))
    return {
        "values": best.params,
        "objectives": _named(best, tuning),
        "folds": best.user_attrs[FOLDS],
        "start": _starts(completed, tuning),
        "study": study.study_name,
        "trial": best.number,
        "trials": len(completed),
        "command": command,
        "version": __version__,
    }


def _named(trial: FrozenTrial, tuning: TuningParams) -> dict[str, float]:
    return dict(zip(tuning.objectives, trial.values, strict=True))


def _starts(completed: Sequence[FrozenTrial], tuning: TuningParams) -> dict[str, dict[str, float]]:
    """Objectives of the presets that were tried first, by preset."""
    return {
        trial.user_attrs[START]: _named(trial, tuning)
        for trial in completed
        if START in trial.user_attrs
    }
