"""Box plots of scores per method, and risk-coverage curves."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slicefill.metrics import metric_label
from slicefill.metrics.risk import aurc
from slicefill.reporting.figures.grid import COLOURS, FAINT, GREY, INK, open_frame, styled

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


_MOST_RISK_COLUMNS = 4
_LINES = {  # column: colour, dashes, name
    "random": (GREY, ":", "kept at random"),
    "risk": (COLOURS[0], "-", "most confident kept"),
    "oracle": (INK, "--", "least error kept (oracle)"),
}


@styled
def risk_coverage(curves: pd.DataFrame) -> Figure:
    """Show how the error falls as less and less is kept, per method.

    Args:
        curves: A row per method, case and coverage: `method`, `case`, `subject`, `coverage` (in
            (0, 1]) and the mean absolute errors `risk`, `oracle` and `random` (share of the
            window). A subject's cases are averaged first.

    Returns:
        A panel per method on one scale. In the title: by how much confidence is better than chance,
        as a share of the oracle's gain; by the area under the lines.

    Raises:
        ValueError: If a column is missing or there is no row.
    """
    needed = {"method", "subject", "coverage", *_LINES}
    if curves.empty or needed - set(curves.columns):
        msg = (
            f"risk_coverage: expected rows with columns {', '.join(sorted(needed))}, "
            f"got {len(curves)} rows with {', '.join(map(str, curves.columns))}"
        )
        raise ValueError(msg)
    subjects = curves.groupby(["method", "subject", "coverage"], sort=False)[[*_LINES]].mean()
    means = subjects.groupby(["method", "coverage"], sort=False).mean().reset_index("coverage")
    methods = list(curves["method"].unique())
    rows = math.ceil(len(methods) / _MOST_RISK_COLUMNS)
    columns = math.ceil(len(methods) / rows)
    figure = Figure(figsize=(max(3.4, 0.6 + 2 * columns), 0.8 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, method in zip(axes, methods, strict=False):
        _draw_risk(axis, method, means.loc[[method]])
    for axis in axes[len(methods) :]:
        axis.set_axis_off()
    axes[0].set(xlim=(0, 1), ylim=(0, None))
    figure.supxlabel("coverage: share of synthetic voxels kept", fontsize=8)
    figure.supylabel("mean absolute error\n(share of the window)", fontsize=8)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def _draw_risk(axes: Axes, method: str, curve: pd.DataFrame) -> None:
    in_order = curve.sort_values("coverage")
    for column, (colour, dashes, name) in _LINES.items():
        coverage, error = in_order["coverage"], in_order[column]
        axes.plot(coverage, error, color=colour, linestyle=dashes, linewidth=1.2, label=name)
    random, risk, oracle = (aurc(in_order[column].to_numpy()) for column in _LINES)
    gained = (random - risk) / (random - oracle) if random > oracle else np.nan
    told = "" if math.isnan(gained) else f"\n{gained:.0%} of the oracle's gain"
    axes.set_title(method.replace("_", " ") + told, fontsize=7)
    open_frame(axes)
