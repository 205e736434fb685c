"""Risk against coverage: what is left of the error when only what is trusted most is kept."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slicefill.metrics.confidence import aurc
from slicefill.reporting.figures.grid import COLOURS, GREY, INK, open_frame, styled

_MOST_COLUMNS = 4
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
    missing = {"method", "subject", "coverage", *_LINES} - set(curves.columns)
    if missing or curves.empty:
        msg = (
            f"risk_coverage: expected rows with columns {', '.join(sorted(missing))}, "
            f"got {len(curves)} rows with {', '.join(map(str, curves.columns))}"
        )
        raise ValueError(msg)
    subjects = curves.groupby(["method", "subject", "coverage"], sort=False)[[*_LINES]].mean()
    means = subjects.groupby(["method", "coverage"], sort=False).mean().reset_index("coverage")
    methods = list(curves["method"].unique())
    rows = math.ceil(len(methods) / _MOST_COLUMNS)
    columns = math.ceil(len(methods) / rows)
    figure = Figure(figsize=(max(3.4, 0.6 + 2 * columns), 0.8 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis, method in zip(axes, methods, strict=False):
        _draw(axis, method, means.loc[[method]])
    for axis in axes[len(methods) :]:
        axis.set_axis_off()
    axes[0].set(xlim=(0, 1), ylim=(0, None))
    figure.supxlabel("coverage: share of synthetic voxels kept", fontsize=8)
    figure.supylabel("mean absolute error\n(share of the window)", fontsize=8)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def _draw(axes: Axes, method: str, curve: pd.DataFrame) -> None:
    in_order = curve.sort_values("coverage")
    for column, (colour, dashes, name) in _LINES.items():
        coverage, error = in_order["coverage"], in_order[column]
        axes.plot(coverage, error, color=colour, linestyle=dashes, linewidth=1.2, label=name)
    random, risk, oracle = (aurc(in_order[column].to_numpy()) for column in _LINES)
    gained = (random - risk) / (random - oracle) if random > oracle else np.nan
    told = "" if math.isnan(gained) else f"\n{gained:.0%} of the oracle's gain"
    axes.set_title(method.replace("_", " ") + told, fontsize=7)
    open_frame(axes)
