"""Synthetic labels among damaged true ones: overlap against bias, and where the surface moved."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slicefill.metrics.label_bias import AXES
from slicefill.reporting.figures.grid import COLOURS, GREY, INK, open_frame, styled

_DASHES = ("-", "--", ":", "-.", (0, (1, 3)))


@styled
def audit_plot(summary: pd.DataFrame) -> Figure:
    """Draw the mean of all labels.

    Args:
        summary: As `reporting.audit_tables.summarise_audit`; not empty.

    Returns:
        Left, Dice and volume bias: a line per damage, a dot per method. Right, mean signed distance
        of the surface that faces each axis, per method.
    """
    mean = summary[summary["label"] == "mean"]
    methods = mean[mean["source"] == "method"]
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_bias(left, mean[mean["source"] == "damage"], methods)
    _draw_axes(right, methods)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _draw_bias(axes: Axes, damages: pd.DataFrame, methods: pd.DataFrame) -> None:
    for number, (name, own) in enumerate(damages.groupby("name", sort=False)):
        dashes = _DASHES[number % len(_DASHES)]
        values = own.sort_values("strength")
        told = str(name).replace("_", " ")
        percent = 100 * values["volume_bias"]
        axes.plot(values["dice"], percent, color=GREY, linestyle=dashes, marker=".", label=told)
    for number, row in enumerate(methods.to_dict("records")):
        colour, told = COLOURS[number % len(COLOURS)], str(row["name"]).replace("_", " ")
        bias = 100 * row["volume_bias"]
        axes.plot(row["dice"], bias, "o", color=colour, label=told, zorder=3)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set(xlabel="Dice with the true labels", ylabel="volume bias (%)")
    open_frame(axes)


def _draw_axes(axes: Axes, methods: pd.DataFrame) -> None:
    places = np.arange(len(AXES))
    width = 0.8 / max(1, len(methods))
    for number, row in enumerate(methods.to_dict("records")):
        values = [row[f"signed_distance_{axis}"] for axis in AXES]
        at = places + (number - (len(methods) - 1) / 2) * width
        axes.bar(at, values, width, color=COLOURS[number % len(COLOURS)])
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set_xticks(places, [f"facing {axis}" for axis in AXES])
    axes.set_ylabel("signed distance (mm)")
    open_frame(axes)
