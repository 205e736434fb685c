"""Learning curves of synthesis models and of segmentation networks."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from slicefill.metrics import metric_label
from slicefill.reporting.figures.grid import GREY, line_style, open_frame, styled

_MOST_COLUMNS = 4
_WEIGHTED = "train/weighted"


@styled
def loss_curves(history: pd.DataFrame) -> Figure:
    """Show every term of the training over the epochs.

    Args:
        history: One row per epoch and term, columns `epoch`, `term`, `value`. Terms are paths:
            `train/raw/rec`, `train/weighted/rec`, `train/total`, `critic/global`,
            `validation/psnr`, `validation/psnr/through_plane`, ...

    Returns:
        One panel per raw loss, per validation metric, for the total, for all weighted losses
        (log scale) and for all critics. A dotted line marks the best epoch, `best_epoch`.

    Raises:
        ValueError: If a column is missing or there is no row.
    """
    require_history(history, "loss_curves")
    groups = history.groupby(history["term"].map(_panel))
    rows = math.ceil(len(groups) / _MOST_COLUMNS)
    columns = math.ceil(len(groups) / rows)
    figure = Figure(figsize=(2.5 * columns, 1.9 * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    best = best_epoch(history)
    for axis, (panel, terms) in zip(axes, groups, strict=False):
        _draw(axis, str(panel), terms)
        if best is not None:
            axis.axvline(best, color=GREY, linestyle=":", linewidth=0.9, zorder=0)
    for axis in axes[len(groups) :]:
        axis.set_axis_off()
    if best is not None:
        note = f"dotted line: best epoch, {best} (highest validation PSNR)"
        figure.supxlabel(note, x=0.01, ha="left", fontsize=7, color=GREY)
    return figure


def require_history(history: pd.DataFrame, where: str) -> None:
    """Refuse a history without rows or without its columns; `where` opens the message."""
    missing = {"epoch", "term", "value"} - set(history.columns)
    if missing or history.empty:
        msg = (
            f"{where}: expected rows with columns epoch, term and value, "
            f"got {len(history)} rows with {', '.join(map(str, history.columns))}"
        )
        raise ValueError(msg)


def best_epoch(history: pd.DataFrame) -> int | None:
    """Find the epoch of the highest validation PSNR (mean over its directions), if measured.

    Example:
        >>> rows = [(1, "validation/psnr", 20.0), (2, "validation/psnr", 21.0)]
        >>> best_epoch(pd.DataFrame(rows, columns=["epoch", "term", "value"]))
        2
    """
    psnr = history[history["term"].str.startswith("validation/psnr")]
    means = psnr.groupby("epoch")["value"].mean().dropna()
    return None if means.empty else int(means.index[int(means.argmax())])


def _panel(term: str) -> str:
    """Name the panel that a term is drawn in: `train/raw/rec` has its own, critics share one."""
    depth = 1 if term.startswith("critic/") else 3 if term.startswith("train/raw/") else 2
    return "/".join(term.split("/")[:depth])


def _draw(axes: Axes, panel: str, terms: pd.DataFrame) -> None:
    curves = terms.groupby("term", sort=False)
    for position, (term, curve) in enumerate(curves):
        colour, dashes = line_style(position)
        name = str(term).removeprefix(panel).strip("/").replace("_", " ")
        in_order = curve.sort_values("epoch")
        axes.plot(
            in_order["epoch"],
            in_order["value"],
            color=colour,
            linestyle=dashes,
            marker=".",
            markersize=3,
            linewidth=1.1,
            label=name,
        )
    metric = panel.removeprefix("validation/")
    axes.set(
        title=panel,
        xlabel="epoch",
        ylabel="loss" if metric == panel else metric_label(metric),
    )
    if panel == _WEIGHTED and (terms["value"] > 0).any():  # orders of magnitude apart
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
        axes.legend(loc="upper center", ncols=3, columnspacing=1, handlelength=1.2)
    elif len(curves) > 1:
        axes.legend()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    open_frame(axes)


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
