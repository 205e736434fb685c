"""One-standard-deviation ellipses of encoded slices: methods against real ones."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from slicefill.metrics import REAL
from slicefill.reporting.figures.grid import COLOURS, INK, open_frame, styled


@styled
def realism_ellipses(table: pd.DataFrame) -> Figure:
    """Draw where the slices of each method lie among the real ones.

    Args:
        table: As `metrics.realism.ellipses` returns it; not empty.

    Returns:
        A panel per plane: the first two axes of the reference encoder, in standard deviations of
        real slices; real ones filled.
    """
    planes = list(table["plane"].unique())
    figure = Figure(figsize=(1.2 + 2.8 * len(planes), 3.2), layout="constrained")
    axes = figure.subplots(1, len(planes), squeeze=False).ravel()
    for panel, plane in zip(axes, planes, strict=True):
        own = table[table["plane"] == plane]
        methods = [name for name in own["method"].unique() if name != REAL]
        colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(methods)}
        for row in own.to_dict("records"):
            _draw(panel, row, colours.get(row["method"], INK))
        panel.set_title(plane.replace("_", " "))
        panel.set(xlabel="first axis of the encoder", ylabel="second axis")
        panel.autoscale_view()
        open_frame(panel)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _draw(panel: Axes, row: dict[str, float | str], colour: str) -> None:
    xx, xy, yy = (float(row[name]) for name in ("xx", "xy", "yy"))
    values, vectors = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    width, height = 2 * np.sqrt(np.clip(values[::-1], 0, None))
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    real, name = row["method"] == REAL, str(row["method"]).replace("_", " ")
    centre = (float(row["x"]), float(row["y"]))
    fill = {"facecolor": colour, "alpha": 0.15} if real else {"fill": False, "linewidth": 1.2}
    panel.add_patch(Ellipse(centre, width, height, angle=angle, edgecolor=colour, **fill))
    panel.plot(*centre, marker="o", markersize=3, linestyle="none", color=colour, label=name)
