"""What the report of a study says."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from slicefill import __version__
from slicefill.advice import kedro_run
from slicefill.params import TuningParams
from slicefill.reporting.report import ReportContent, ReportFigure, ReportTable
from slicefill.tuning.objectives import OBJECTIVES
from slicefill.tuning.plots import caption

_SHOWN = 10  # trials in the table
_FOOTNOTES = [
    "Each trial is a training per fold; subjects of a fold are never trained on. Test subjects "
    "take no part at all.",
    "The best of many trials looks better than it is: compare it with another preset on the test "
    "subjects before you believe the difference.",
]


def compose_report(
    trials: pd.DataFrame,
    best: Mapping[str, Any],
    figures: Mapping[str, bytes],
    tuning: TuningParams,
    parameters: Mapping[str, Any],
) -> ReportContent:
    """Compose the report.

    Args:
        trials: One row each.
        best: What `describe_best` says.
        figures: PNG by name.
        tuning: What was tried.
        parameters: All parameters of the run.
    """
    failed = int((trials["state"] == "FAIL").sum())
    found = ", ".join(f"{name} {value:.4g}" for name, value in best["objectives"].items())
    return ReportContent(
        title=f"Slicefill: tuning of {parameters['experiment']}",
        headline=f"Trial {best['trial']} of {len(trials)}: {found}.",
        settings=_settings(best, tuning, trials),
        tables=[_values(best), _folds(best), _trials(trials, best, tuning)],
        figures=[],
        folded=[ReportFigure(caption(name), png) for name, png in figures.items()],
        warnings=[f"{failed} trial(s) failed; trials.csv has the reasons."] if failed else [],
        footnotes=_FOOTNOTES,
    )


def _settings(
    best: Mapping[str, Any], tuning: TuningParams, trials: pd.DataFrame
) -> dict[str, str]:
    states = trials["state"].value_counts()
    return {
        "Study": str(best["study"]),
        "Objectives": ", ".join(tuning.objectives),
        "Trials": ", ".join(f"{count} {str(state).lower()}" for state, count in states.items()),
        "While tuning": ", ".join(f"{k} {v}" for k, v in tuning.overrides.items()) or "as ever",
        "Pruner": tuning.pruner,
        "Seed": str(tuning.seed),
        "Command": str(best["command"]),
        "Slicefill": __version__,
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _values(best: Mapping[str, Any]) -> ReportTable:
    rows = [{"parameter": name, "best": value} for name, value in best["values"].items()]
    note = f"Used by: {kedro_run('synthesis', **{'synthesis.preset': 'tuned'})}"
    return ReportTable("The best values.", pd.DataFrame(rows), note)


def _folds(best: Mapping[str, Any]) -> ReportTable:
    rows: list[dict[str, Any]] = [
        {"values": preset, **objectives} for preset, objectives in best["start"].items()
    ]
    rows.append({"values": "best trial", **best["objectives"]})
    spread = ", ".join(
        f"{name} {np.min(own):.4g} to {np.max(own):.4g}" for name, own in best["folds"].items()
    )
    folds = len(next(iter(best["folds"].values())))
    note = f"Means over {folds} folds; the best trial's folds: {spread}."
    return ReportTable("Against the presets that were tried first.", pd.DataFrame(rows), note)


def _trials(trials: pd.DataFrame, best: Mapping[str, Any], tuning: TuningParams) -> ReportTable:
    first = tuning.objectives[0]
    completed = trials[trials["state"] == "COMPLETE"]
    ordered = completed.sort_values(first, ascending=OBJECTIVES[first].direction == "minimize")
    columns = ["number", *tuning.objectives, *best["values"], "seconds"]
    caption = f"Completed trials, at most {_SHOWN}, by {first}."
    return ReportTable(caption, ordered[columns].head(_SHOWN))
