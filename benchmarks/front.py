"""Quality against duration, and the methods that no other method beats in both."""

from collections.abc import Mapping, Sequence
from itertools import count

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from slicefill.reporting.figures.grid import GREY, INK, line_style, open_frame, styled

_MARKERS = {"other libraries": "s", "slicefill, classical": "o", "slicefill, network": "*"}
_QUALITIES = {"psnr": "PSNR of synthetic slices, dB", "dice": "Dice of synthetic labels"}
_NOTE = "line: methods that no other beats in both speed and quality"
Scores = Mapping[str, Mapping[str, float]]
"""`seconds`, `psnr` and `dice` by method."""


def front(scores: Scores, quality: str) -> list[str]:
    """Name the methods that no other method beats in both, the fastest first.

    Example:
        Slower and no better than the first, `b` is left out:

        >>> points = {"a": (1, 20), "b": (2, 20), "c": (3, 21)}
        >>> scores = {name: {"seconds": s, "psnr": q} for name, (s, q) in points.items()}
        >>> front(scores, "psnr")
        ['a', 'c']
    """
    ordered = sorted(scores, key=lambda name: (scores[name]["seconds"], -scores[name][quality]))
    unbeaten: list[str] = []
    for name in ordered:
        if not unbeaten or scores[name][quality] > scores[unbeaten[-1]][quality]:
            unbeaten.append(name)
    return unbeaten


@styled
def draw_fronts(scans: Mapping[str, Scores], families: Mapping[str, str]) -> Figure:
    """Draw a column per scan and a row per quality.

    Args:
        scans: Scores by the title of the scan.
        families: Family of each method, in the order of the legend.
    """
    figure = Figure(figsize=(3.1 * len(scans) + 1.6, 5.2), layout="constrained")
    axes = figure.subplots(len(_QUALITIES), len(scans), squeeze=False, sharex="col")
    for row, (quality, title) in zip(axes, _QUALITIES.items(), strict=True):
        for panel, scores in zip(row, scans.values(), strict=True):
            _draw(panel, scores, quality, families)
        row[0].set_ylabel(title)
    for top, bottom, title in zip(axes[0], axes[-1], scans, strict=True):
        top.set_title(title)
        bottom.set_xlabel("seconds, file to file")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    figure.supxlabel(_NOTE, x=0.01, ha="left", fontsize=7, color=GREY)
    return figure


def _draw(panel: Axes, scores: Scores, quality: str, families: Mapping[str, str]) -> None:
    numbers = {family: count() for family in _MARKERS}
    for name, family in families.items():
        own, (colour, _) = scores[name], line_style(next(numbers[family]))
        size = 70 if family == "slicefill, network" else 30
        style = {"marker": _MARKERS[family], "s": size, "color": colour, "linewidths": 0}
        panel.scatter(own["seconds"], own[quality], label=name, zorder=3, **style)
    _mark(panel, [scores[name] for name in front(scores, quality)], quality)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter(NullFormatter())
    open_frame(panel)


def _mark(panel: Axes, best: Sequence[Mapping[str, float]], quality: str) -> None:
    """Ring the methods of the front and join them by a line."""
    seconds, values = ([own[key] for own in best] for key in ("seconds", quality))
    panel.plot(seconds, values, color=GREY, linewidth=0.9, zorder=2)
    panel.scatter(seconds, values, s=130, facecolors="none", edgecolors=INK, linewidths=0.8)
