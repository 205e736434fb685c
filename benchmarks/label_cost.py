"""What an error of training labels costs a network, and where synthetic labels lie: table, figure.

    SLICEFILL_RAW=~/data/hippocampus kedro run --env=label_noise --pipelines=comparison
    SLICEFILL_DATA=~/data python benchmarks/label_audit.py --sets hippocampus --limit 8
    python benchmarks/label_cost.py data/08_reporting/label_noise/S_x4/label_noise \
        data/08_reporting/label_audit/hippocampus_x4/summary.csv

The first command trains on damaged labels, the second measures the bias of synthetic ones. Writes
`label_cost.png`: left, Dice lost against the volume bias of the labels (`shrink`, `grow`), with the
bias of each way to make labels as a line; right, the volume bias that the networks predict.
"""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slicefill.datasets.figures import to_png
from slicefill.reporting.figures.grid import COLOURS, GREY, INK, open_frame, styled

SIGNS = {"shrink": -1, "grow": 1}
CLEAN = "none"
Point = tuple[float, float, float, float]
"""Bias of the labels, and what came of it with its interval, all in percent."""


def main(arguments: list[str] | None = None) -> None:
    """Print the table and write the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of the comparison")
    parser.add_argument("audit", type=Path, help="summary.csv of label_audit.py")
    parser.add_argument("--out", type=Path, default=Path("label_cost.png"), help="(%(default)s)")
    options = parser.parse_args(arguments)
    tests, summary = (pd.read_csv(options.results / f"{name}.csv") for name in ("tests", "summary"))
    lost = [*_points(tests[tests["metric"] == "dice_mean"], "difference"), (0.0, 0.0, 0.0, 0.0)]
    volumes = _points(summary[summary["metric"] == "ravd_mean"], "mean")
    for title, points in (("change of Dice", lost), ("volume of predictions", volumes)):
        table = pd.DataFrame(sorted(points), columns=["bias", title, "low", "high"])
        print(table.round(2).to_markdown(index=False))
    audit = pd.read_csv(options.audit).query("label == 'mean' and source == 'method'")
    options.out.write_bytes(to_png(_draw(lost, volumes, audit)))


def _points(table: pd.DataFrame, value: str) -> list[Point]:
    points = []
    for row in table.to_dict("records"):
        damage, _, strength = str(row["method"]).partition("_")
        if damage in SIGNS or damage == CLEAN:
            bias = SIGNS.get(damage, 0) * float(strength or 0)
            middle, low, high = (100 * row[name] for name in (value, "ci_low", "ci_high"))
            points.append((bias, middle, low, high))
    return points


@styled
def _draw(lost: list[Point], volumes: list[Point], audit: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for panel, points in ((left, lost), (right, volumes)):
        _draw_curve(panel, points)
        _draw_methods(panel, audit)
        panel.set_xlabel("volume bias of the training labels (%)")
        open_frame(panel)
    left.set_ylabel("change of Dice (points)")
    right.set_ylabel("volume bias of predictions (%)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _draw_curve(panel: Axes, points: list[Point]) -> None:
    at, middle, low, high = zip(*sorted(points), strict=True)
    spread = [[m - each for m, each in zip(middle, low, strict=True)]]
    spread.append([each - m for m, each in zip(middle, high, strict=True)])
    panel.errorbar(at, middle, spread, color=INK, marker=".", linewidth=1, label="damaged labels")
    panel.axhline(0, color=GREY, linewidth=0.6)


def _draw_methods(panel: Axes, audit: pd.DataFrame) -> None:
    for number, row in enumerate(audit.to_dict("records")):
        style = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1, "linestyle": "--"}
        panel.axvline(100 * row["volume_bias"], **style, label=str(row["name"]).replace("_", " "))


if __name__ == "__main__":
    main()
