"""Optuna's own figures of a study: to look at, and as PNG for the report."""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KINDS = {
    "optimization_history": "Every trial, and the best so far.",
    "param_importances": "How much of the differences each parameter explains.",
    "slice": "Each parameter against the objective.",
    "parallel_coordinate": "All parameters of a trial as one line.",
    "intermediate_values": "Gain over linear interpolation after every epoch of every fold.",
    "pareto_front": "What can be had of both objectives.",
}
"""Name of Optuna's function without `plot_` → caption."""


def caption(figure: str) -> str:
    """Return the sentence under a figure: its kind and, of several objectives, which."""
    kind, _, objective = figure.partition(".")
    return f"{_KINDS[kind]} {objective}".strip()


def draw_study(study: optuna.Study, objectives: Sequence[str]) -> "dict[str, Figure]":
    """Draw the study with matplotlib, as far as its trials allow.

    Returns:
        Figures by kind, and objective if there are several.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import optuna.visualization.matplotlib as plots

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        drawn = _draw(study, objectives, plots)
    return {name: _figure(name, axes) for name, axes in drawn.items()}


def plot_page(study: optuna.Study, objectives: Sequence[str]) -> str:
    """Write all figures, by plotly, into one HTML page that needs no network."""
    import optuna.visualization as plots

    parts: list[str] = []
    for name, figure in _draw(study, objectives, plots).items():
        drawn = figure.to_html(full_html=False, include_plotlyjs=not parts)  # once, inline
        parts.append(f"<h2>{caption(name)}</h2>\n{drawn}")
    title = f"Study {study.study_name}"
    head = f'<head><meta charset="utf-8"><title>{title}</title></head>'
    body = f"<body><h1>{title}</h1>{''.join(parts)}</body>"
    return f"<!doctype html><html>{head}{body}</html>"


def _draw(study: optuna.Study, objectives: Sequence[str], plots: Any) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    single = len(objectives) == 1
    for number, objective in enumerate(objectives):
        of_one = {"target": _value(number)} if not single else {}
        for kind in ("optimization_history", "param_importances", "slice", "parallel_coordinate"):
            values = np.array([trial.values[number] for trial in completed])
            if kind == "param_importances" and (len(values) < 3 or np.ptp(values) == 0):
                continue  # nothing differs that could be explained
            name = kind if single else f"{kind}.{objective}"
            plot = getattr(plots, f"plot_{kind}")
            drawn[name] = plot(study, **of_one, target_name=objective)
    if single:
        drawn["intermediate_values"] = plots.plot_intermediate_values(study)
    elif len(objectives) <= 3:
        drawn["pareto_front"] = plots.plot_pareto_front(study, target_names=list(objectives))
    return drawn


def _value(number: int) -> Callable[[optuna.trial.FrozenTrial], float]:
    return lambda trial: float(trial.values[number])


def _figure(name: str, axes: Any) -> "Figure":
    figure: Figure = np.ravel(axes)[0].figure
    figure.set_size_inches(max(9, 2.8 * np.size(axes)), 4.5)
    # Neither engine can lay out all of Optuna's figures.
    figure.set_layout_engine("tight" if name.startswith("parallel") else "constrained")
    return figure
