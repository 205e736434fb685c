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
METRICS = {"dice_mean": "change of Dice (points)", "ravd_mean": "volume of predictions (%)"}


def main(arguments: list[str] | None = None) -> None:
    """Print the table and write the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="folder of the comparison")
    parser.add_argument("audit", type=Path, help="summary.csv of label_audit.py")
    parser.add_argument("--out", type=Path, default=Path("label_cost.png"), help="(%(default)s)")
    options = parser.parse_args(arguments)
    tests = pd.read_csv(options.results / "tests.csv")
    table = tests[tests["metric"].isin(METRICS)].drop(columns=["reference", "noise"])
    print(table.round(4).to_markdown(index=False))
    audit = pd.read_csv(options.audit).query("label == 'mean' and source == 'method'")
    options.out.write_bytes(to_png(_draw(table, audit)))


@styled
def _draw(tests: pd.DataFrame, audit: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, (metric, label) in zip(panels, METRICS.items(), strict=True):
        _draw_curve(panel, tests[tests["metric"] == metric])
        _draw_methods(panel, audit)
        panel.set(xlabel="volume bias of the training labels (%)", ylabel=label)
        open_frame(panel)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right upper", frameon=False)
    return figure


def _draw_curve(panel: Axes, tests: pd.DataFrame) -> None:
    """Change against clean labels, with its interval; clean labels are the point at 0."""
    points = [(0.0, 0.0, 0.0, 0.0)]
    for row in tests.to_dict("records"):
        damage, _, strength = str(row["method"]).partition("_")
        if damage in SIGNS:
            values = (100 * row[name] for name in ("difference", "ci_low", "ci_high"))
            points.append((SIGNS[damage] * float(strength), *values))
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
