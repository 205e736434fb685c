"""Tuning nodes: search, draw the study, report."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill import tracking
from slicefill.params import (
    AugmentationParams,
    EvaluationParams,
    ImputationParams,
    SegmentationParams,
    TuningParams,
    as_plain,
)
from slicefill.types import Promise

if TYPE_CHECKING:
    from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
    from slicefill.tuning.objectives import TrialScorer


def search_parameters(
    acquired_cases: dict[str, Promise],
    splits: pd.DataFrame,
    journal: str,
    tuning: TuningParams,
    parameters: dict[str, Any],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run trials until the budget is used up; the table of all trials and the best values."""
    from slicefill.tuning.best import describe_best, tabulate_trials
    from slicefill.tuning.folds import make_folds
    from slicefill.tuning.study import name_study, open_study, search, set_up_validation

    folds, scorer = make_folds(acquired_cases, splits), _make_scorer(tuning, parameters)
    params = _tuned_params(parameters)
    validation = set_up_validation(folds, params, tuning, scorer)
    study = open_study(journal, name_study(folds, params, tuning, scorer), validation)
    search(study, validation, _in_child_run)
    best = describe_best(study, tuning, shlex.join(["kedro", *sys.argv[1:]]))
    tracking.log_metrics({f"best/{name}": value for name, value in best["objectives"].items()})
    return tabulate_trials(study), best


@contextmanager
def _in_child_run(
    number: int, values: Mapping[str, Any]
) -> Iterator[Callable[[str], Callable[[Mapping[str, float], int], None]]]:
    with tracking.child_run(f"trial {number:03d}"):
        tracking.log_params(values)
        yield tracking.reporter


def _tuned_params(parameters: Mapping[str, Any]) -> "SynthesisParams":
    """Return the parameters of the chosen method, which must be of kind slice_imputation."""
    from slicefill.imputation.methods import find_method
    from slicefill.imputation.methods.slice_imputation.params import SynthesisParams

    system = find_method(parameters["variant"], parameters)
    if not isinstance(system.params, SynthesisParams):
        msg = (
            f"variant: expected a method of kind slice_imputation to tune, got {system.name} of "
            f"kind {system.kind}"
        )
        raise ValueError(msg)
    return system.params


def _make_scorer(tuning: TuningParams, parameters: Mapping[str, Any]) -> "TrialScorer":
    from slicefill.tuning.objectives import TrialScorer

    return TrialScorer(
        ImputationParams.model_validate(parameters["imputation"]),
        EvaluationParams.model_validate(parameters["evaluation"]),
        SegmentationParams.model_validate(parameters["segmentation"]),
        AugmentationParams.model_validate(parameters["augmentation"]),
        tuning.segmentation_engine,
    )


def draw_tuning(
    best: dict[str, Any], journal: str, tuning: TuningParams
) -> tuple[dict[str, Any], str]:
    """History, importance, slices, parallel coordinates and learning of the trials."""
    import optuna

    from slicefill.tuning.plots import draw_study, plot_page
    from slicefill.tuning.study import make_storage

    study = optuna.load_study(study_name=best["study"], storage=make_storage(journal, tuning))
    return draw_study(study, tuning.objectives), plot_page(study, tuning.objectives)


def write_tuning_report(
    trials: pd.DataFrame,
    best: dict[str, Any],
    figures: dict[str, bytes],
    tuning: TuningParams,
    parameters: dict[str, Any],
) -> str:
    """Put what was found, the best trials and the figures into one HTML file."""
    from slicefill.reporting.report import render_report
    from slicefill.reporting.tuning_report import compose_report

    return render_report(compose_report(trials, best, figures, tuning, as_plain(parameters)))
