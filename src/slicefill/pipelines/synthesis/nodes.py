"""Synthesis nodes: train the methods that learn, keep their history."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import StateFiles
from slicefill.ingestion.splits import choose_cases
from slicefill.params import as_plain
from slicefill.types import Checkpoint, ModelPromise, Models, Promise

if TYPE_CHECKING:
    from slicefill.imputation.methods import LearningData
    from slicefill.plugins import System


def train_models(
    acquired_cases: dict[str, Promise],
    cases: dict[str, Promise],
    splits: pd.DataFrame,
    states: StateFiles,
    best_lambdas: dict[str, Any],
    names: list[str],
    parameters: dict[str, Any],
) -> dict[str, ModelPromise]:
    """Promise a model of every named method that learns; others need none.

    Args:
        acquired_cases: Cases of acquired slices alone.
        cases: The same before slices were removed.
        splits: Who trains, and who chooses the epoch; test subjects do neither.
        states: Where trainings keep their state between epochs.
        best_lambdas: What tuning found for this experiment, if it was run: preset `tuned` takes it.
        names: Entries of `methods`.
        parameters: All parameters.

    Raises:
        ValueError: If an entry cannot be used, or its data are not there.
    """
    from slicefill.imputation.methods import LearningData, find_method

    systems = [find_method(name, parameters) for name in dict.fromkeys(names)]
    learning = [system for system in systems if system.has("train")]
    wanted = as_plain(parameters)["imputation"]["cases"]
    imputed = list(choose_cases(acquired_cases, splits, wanted))
    data = LearningData(acquired_cases, cases, splits, imputed)
    promises, alone = {}, len(learning) == 1
    for each in learning:
        system = _tuned(each, best_lambdas)
        if alone:
            _log_params(system)  # also where the model is there already
        make = partial(_train, system, data, states, alone=alone)
        own = system.module.training_fingerprint(data, system.params)
        promises[system.name] = ModelPromise(make, own)
    return promises


def _tuned(system: "System", best: Mapping[str, Any]) -> "System":
    """Put what tuning found in the place of preset `tuned`."""
    from slicefill.imputation.methods.slice_imputation.params import TUNED
    from slicefill.tuning.space import use_best

    if getattr(system.params, "preset", None) != TUNED:
        return system
    return replace(system, params=use_best(system.params, best))


def _train(
    system: "System", data: "LearningData", states: StateFiles, *, alone: bool
) -> Checkpoint:
    """Train in the run itself, or, beside other methods, in a child run of the method's name."""
    from slicefill.training.fit import Run

    run: AbstractContextManager[Any] = nullcontext() if alone else tracking.child_run(system.name)
    with run:
        if not alone:
            _log_params(system)
        reporter = Run(states[system.name], tracking.reporter())
        made: Checkpoint = system.module.train(data, system.params, reporter)
    return made


def _log_params(system: "System") -> None:
    """Log the numbers of a training under its section, such as `synthesis`."""
    section = getattr(system.module, "SECTION", system.kind)
    in_force = getattr(system.params, "in_force", system.params.model_dump())
    tracking.log_params({section: {"variant": system.name, **in_force}})


def record_history(models: Models, names: list[str], parameters: dict[str, Any]) -> pd.DataFrame:
    """Tabulate every logged term of the trainings: `model`, `epoch`, `term`, `value`.

    Raises:
        ValueError: If every training failed.
    """
    from slicefill.imputation.methods import find_method

    learned = [name for name in dict.fromkeys(names) if find_method(name, parameters).has("train")]
    tables = [pd.DataFrame(columns=["model", "epoch", "term", "value"])]
    for name in learned:
        if name in models:
            history = pd.DataFrame(models[name]()["history"], columns=["epoch", "term", "value"])
            history.insert(0, "model", name)
            tables.append(history)
    if learned and len(tables) == 1:
        msg = f"the training of {', '.join(learned)} failed, the log above says where; run again"
        raise ValueError(msg)
    return pd.concat(tables[1:] or tables, ignore_index=True)
