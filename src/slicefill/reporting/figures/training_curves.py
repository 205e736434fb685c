"""Training of several segmentation networks on the same axes."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from slicefill.metrics import metric_label
from slicefill.reporting.figures.curves import require_history
from slicefill.reporting.figures.style import line_style, open_frame, styled

_LOSS, _DICE = "train/loss", "validation/dice"


@styled
def segmentation_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Show how the networks of all methods and seeds learned.

    Args:
        histories: Run, `<method>` or `<method>/<seed>`, to one row per epoch and term, columns
            `epoch`, `term`, `value`; the terms `train/loss` (the sum of all others) and
            `validation/dice` are drawn.

    Returns:
        Two panels, training loss and validation Dice: a line per run, the runs of one method
        alike, the best epoch of a run marked on its Dice.

    Raises:
        ValueError: If there is no run, or one lacks a column or a term.
    """
    if not histories:
        msg = "segmentation_curves: expected the history of at least one run, got none"
        raise ValueError(msg)
    runs = {run: _curves(run, history) for run, history in histories.items()}
    methods = list(dict.fromkeys(run.partition("/")[0] for run in runs))
    styles = {method: line_style(position) for position, method in enumerate(methods)}
    figure = Figure(figsize=(8.4, 2.8), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    for run, curves in runs.items():
        colour, dashes = styles[run.partition("/")[0]]
        for axes, term in ((loss, _LOSS), (dice, _DICE)):
            axes.plot(curves[term], color=colour, linestyle=dashes, linewidth=1.0, alpha=0.8)
        if curves[_DICE].notna().any():
            best = curves[_DICE].idxmax(), curves[_DICE].max()
            dice.plot(*best, "o", color=colour, markersize=4)
    loss.set(title="training", xlabel="epoch", ylabel="loss")
    dice.set(title="validation (dot: best epoch)", xlabel="epoch", ylabel=metric_label("dice"))
    for axes in (loss, dice):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        open_frame(axes)
    handles = [
        Line2D([], [], color=colour, linestyle=dashes, label=method.replace("_", " "))
        for method, (colour, dashes) in styles.items()
    ]
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _curves(run: str, history: pd.DataFrame) -> pd.DataFrame:
    """One row per epoch, in order, one column per term."""
    require_history(history, f"segmentation_curves, run {run}")
    missing = {_LOSS, _DICE} - set(history["term"])
    if missing:
        msg = (
            f"segmentation_curves, run {run}: no term {', '.join(sorted(missing))}; "
            f"got {', '.join(history['term'].unique())}"
        )
        raise ValueError(msg)
    return history.pivot(index="epoch", columns="term", values="value")
