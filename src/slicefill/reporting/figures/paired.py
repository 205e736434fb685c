"""Every case under a reference method and under another: who gains, who is harmed."""

import math
from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from slicefill.metrics import find_metric, metric_label
from slicefill.reporting.figures.grid import COLOURS, GREY, open_frame, styled

_MOST_COLUMNS = 4
_COLOURS = {"better": COLOURS[2], "worse": COLOURS[0], "equal": GREY}


@styled
def paired_plots(
    scores: pd.DataFrame, metric: str, reference: str, methods: Sequence[str]
) -> Figure:
    """Plot each case's value under a method against its value under the reference.

    Args:
        scores: One row per case and method, columns `case`, `method` and the metric.
        metric: Column of the scores whose better direction `slicefill.metrics.Metric.merit`
            knows.
        reference: The method along the x axis.
        methods: The methods along the y axis, one panel each.

    Returns:
        Panels on one scale with the diagonal; in the title of each the shares of cases in which
        the method is better and worse, the mean of method - reference and the number of cases.
        Cases that were not measured under both (absent, nan, infinite) are left out and counted.

    Raises:
        ValueError: If a column or a method is missing, or a case has several rows of a method.
    """
    values = _by_case(scores, metric, [reference, *methods])
    pairs = {name: _pair(values[reference], values[name], metric) for name in methods}
    limits = _limits(pd.concat(list(pairs.values()))[["x", "y"]].to_numpy())
    rows = math.ceil(len(methods) / _MOST_COLUMNS)
    columns = math.ceil(len(methods) / rows)
    size = max(3.4, 0.4 + 2.1 * columns), 0.7 + 2.5 * rows
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (name, pair) in zip(axes, pairs.items(), strict=False):
        _draw(axis, pair, limits)
        axis.set_title(_title(name, pair, len(values)), fontsize=7)
    for axis in axes[len(methods) :]:
        axis.set_axis_off()
    figure.supxlabel(f"{reference.replace('_', ' ')}: {metric_label(metric)}", fontsize=8)
    figure.supylabel(f"method: {metric_label(metric)}", fontsize=8)
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=3, linestyle="none", label=name)
        for name, colour in _COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _by_case(scores: pd.DataFrame, metric: str, methods: Sequence[str]) -> pd.DataFrame:
    """One row per case, one column per method; nan where it was not measured."""
    missing = [column for column in ("case", "method", metric) if column not in scores]
    if missing:
        msg = f"paired_plots: no column {', '.join(missing)}; got {', '.join(scores.columns)}"
        raise ValueError(msg)
    absent = sorted(set(methods) - set(scores["method"]))
    if absent or len(methods) < 2:
        msg = (
            "paired_plots: expected a reference and at least one method that the scores have, "
            f"got {', '.join(methods)}; there is {', '.join(scores['method'].unique())}"
        )
        raise ValueError(msg)
    shown = scores[scores["method"].isin(methods)]
    repeated = shown[shown.duplicated(["case", "method"])]
    if not repeated.empty:
        case, method = repeated.iloc[0][["case", "method"]]
        msg = (
            f"paired_plots: expected one row per case and method, got several for case {case}, "
            f"method {method}: average them first"
        )
        raise ValueError(msg)
    values = shown.pivot(index="case", columns="method", values=metric)
    return values.astype(float).replace([np.inf, -np.inf], np.nan)


def _pair(reference: pd.Series, method: pd.Series, metric: str) -> pd.DataFrame:
    """Columns `x`, `y` and `verdict`: better, worse or equal; measured cases only."""
    pair = pd.DataFrame({"x": reference, "y": method}).dropna()
    merit = find_metric(metric).merit
    gain = merit(pair["y"]) - merit(pair["x"])
    pair["verdict"] = np.select([gain > 0, gain < 0], ["better", "worse"], "equal")
    return pair


def _limits(values: np.ndarray) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _draw(axes: Axes, pair: pd.DataFrame, limits: tuple[float, float]) -> None:
    axes.axline((limits[0], limits[0]), slope=1, color=GREY, linewidth=0.8, zorder=1)
    for verdict, points in pair.groupby("verdict"):
        axes.plot(
            points["x"],
            points["y"],
            linestyle="none",
            marker="o",
            markersize=3,
            markeredgewidth=0,
            color=_COLOURS[str(verdict)],
            alpha=0.7,
        )
    axes.set(xlim=limits, ylim=limits, box_aspect=1)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    open_frame(axes)


def _title(name: str, pair: pd.DataFrame, cases: int) -> str:
    shares = pair["verdict"].value_counts(normalize=True)
    lines = [fill(name.replace("_", " "), 26)]
    if not pair.empty:
        lines += [
            f"better {shares.get('better', 0):.0%}, worse {shares.get('worse', 0):.0%}",
            f"mean difference {(pair['y'] - pair['x']).mean():+.3g}, n = {len(pair)}",
        ]
    if len(pair) < cases:
        lines.append(f"undefined, not shown: {cases - len(pair)}")
    return "\n".join(lines)
