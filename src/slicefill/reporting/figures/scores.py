"""Scores of all methods side by side: a box per method, a point per case."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slicefill.metrics import metric_label
from slicefill.reporting.figures.grid import COLOURS, FAINT, INK, open_frame, styled

_MOST_COLUMNS = 3


@styled
def metric_plots(scores: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Show the spread of each metric over the cases, per method.

    Args:
        scores: One row per case and method, columns `case`, `method` and the metrics.
        metrics: One panel each.

    Returns:
        Panels with the methods from top to bottom in the order of the table; box: quartiles,
        whiskers: 1.5 × the interquartile range, grey lines: the same case under each method.
        Undefined values (NaN) are left out and counted above the panel.

    Raises:
        ValueError: If a column is missing.
    """
    missing = [column for column in ("case", "method", *metrics) if column not in scores]
    if missing:
        msg = f"metric_plots: no column {', '.join(missing)}; got {', '.join(scores.columns)}"
        raise ValueError(msg)
    methods = list(scores["method"].unique())
    rows = math.ceil(len(metrics) / _MOST_COLUMNS)
    columns = math.ceil(len(metrics) / rows)
    height = 0.8 + 0.34 * len(methods)
    figure = Figure(figsize=(1.2 + 2.7 * columns, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axis, metric in zip(axes, metrics, strict=False):
        values = scores.pivot(index="method", columns="case", values=metric).loc[methods]
        _draw(axis, values)
        axis.set_xlabel(metric_label(metric))
    for axis in axes[len(metrics) :]:
        axis.set_axis_off()
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    return figure


def _draw(axes: Axes, values: pd.DataFrame) -> None:
    """Draw one panel; `values` has a row per method and a column per case."""
    places = range(len(values))
    axes.plot(values.to_numpy(), places, color=FAINT, linewidth=0.6, zorder=1)
    axes.plot(
        values.to_numpy(),
        places,
        linestyle="none",
        marker="o",
        markersize=2.4,
        markeredgewidth=0,
        color=COLOURS[5],
        alpha=0.55,
        zorder=2,
    )
    axes.boxplot(
        [row.dropna() for _, row in values.iterrows()],
        positions=places,
        orientation="horizontal",
        widths=0.5,
        showfliers=False,
        boxprops={"color": INK, "linewidth": 0.8},
        whiskerprops={"color": INK, "linewidth": 0.8},
        capprops={"color": INK, "linewidth": 0.8},
        medianprops={"color": COLOURS[0], "linewidth": 1.6},
    )
    axes.set_yticks(places, [str(name).replace("_", " ") for name in values.index])
    undefined = int(values.isna().to_numpy().sum())
    if undefined:
        axes.set_title(f"undefined, not shown: {undefined}", fontsize=7)
    open_frame(axes)
    axes.grid(visible=False, axis="y")
