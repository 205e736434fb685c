"""A sheet of image panels, a row per plane and a column per volume; the look of all figures."""

from collections.abc import Callable, Sequence
from functools import wraps
from textwrap import fill
from typing import Any, Literal, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from slicefill.reporting.figures.planes import Plane
from slicefill.types import Array

_SHEET = (8.4, 9.0)  # most width and height of all panels together, inches
_LEAST_HEIGHT, _MOST_WIDTH = 0.45, 2.4  # of one panel, inches
_LEFT, _BOTTOM, _SPACE, _LINE = 1.0, 0.35, 0.08, 0.15  # margins and a line of text, inches
_LEGIBLE = [withStroke(linewidth=1.6, foreground="black")]


def panel_grid(
    planes: Sequence[Plane], headings: Sequence[str], title: str, right: float
) -> tuple[Figure, NDArray[np.object_]]:
    """Lay out empty panels, all on one scale in mm, with headings, row names and a scale bar.

    Args:
        planes: One row each.
        headings: One column each; long ones are wrapped, line breaks are kept.
        title: Heading of the figure.
        right: Room on the right for a colour bar or a legend, inches.

    Returns:
        The figure, and its axes as an array `(rows, columns)`; axes run in mm from the upper
        left corner of the plane.
    """
    width, heights = _panel_inches(planes, len(headings))
    across = _LEFT + len(headings) * (width + _SPACE) - _SPACE + right
    names = [_wrap(heading, max(8, int(width * 12))) for heading in headings]
    top = 0.4 + _LINE * max(1 + name.count("\n") for name in names)
    down = top + sum(heights) + _SPACE * (len(heights) - 1) + _BOTTOM
    figure = Figure(figsize=(across, down))
    axes: NDArray[np.object_] = figure.subplots(
        len(planes),
        len(headings),
        squeeze=False,
        height_ratios=heights,
        gridspec_kw={
            "left": _LEFT / across,
            "right": 1 - right / across,
            "top": 1 - top / down,
            "bottom": _BOTTOM / down,
            "wspace": _SPACE / width,
            "hspace": _SPACE / float(np.mean(heights)),
        },
    )
    for panel, name in zip(axes[0], names, strict=True):
        panel.set_title(name, pad=4)
    for row, plane in zip(axes, planes, strict=True):
        _name_row(figure, row[0], plane)
    _scale_bar(axes[0, 0], planes[0])
    note = "border ticks: acquired slices"
    figure.text(0.1 / across, 1 - 0.1 / down, title, va="top", fontsize=10, weight="bold")
    figure.text(0.1 / across, 0.1 / down, note, va="bottom", fontsize=7, color=GREY)
    return figure, axes


def draw_pixels(panel: Axes, plane: Plane, pixels: Array, **look: Any) -> AxesImage:
    """Show what `plane.cut` has taken, `(rows, columns)`, in mm; `look` goes to `imshow`."""
    across, down = plane.size
    panel.spines[:].set_visible(False)
    panel.set_xticks(plane.ticks[0], labels=[])
    panel.set_yticks(plane.ticks[1], labels=[])
    panel.tick_params(length=2.5, width=0.5, pad=1)
    return panel.imshow(pixels, extent=(0, across, down, 0), aspect="equal", **look)


def side_bar(figure: Figure, axes: NDArray[np.object_], scale: ScalarMappable, label: str) -> None:
    """Put the colour bar of a scale in the right margin; values above it share the last colour."""
    upper, lower = (row[-1].get_position(original=True) for row in (axes[0], axes[-1]))
    inch = 1 / figure.get_figwidth()
    place = (upper.x1 + 0.12 * inch, lower.y0, 0.12 * inch, upper.y1 - lower.y0)
    figure.colorbar(scale, cax=figure.add_axes(place), label=label, extend="max")


def _wrap(heading: str, characters: int) -> str:
    lines = heading.replace("_", " ").splitlines()
    return "\n".join(fill(line, characters, break_on_hyphens=False) for line in lines)


def _panel_inches(planes: Sequence[Plane], columns: int) -> tuple[float, list[float]]:
    """Column width and row heights, inches, on the largest scale that fits the sheet."""
    widths, heights = np.array([plane.size for plane in planes]).T
    widest = min(_MOST_WIDTH, _SHEET[0] / columns)
    scale = min(widest / widths.max(), _SHEET[1] / heights.sum())
    return float(widths.max() * scale), np.maximum(heights * scale, _LEAST_HEIGHT).tolist()


def _name_row(figure: Figure, panel: Axes, plane: Plane) -> None:
    cell = panel.get_position(original=True)
    edge = cell.x0 - 0.15 / figure.get_figwidth()
    name = "\n".join((plane.name, *plane.notes))
    figure.text(edge, (cell.y0 + cell.y1) / 2, name, ha="right", va="center")
    left, top = plane.sides
    for letter, place in ((left, (0.03, 0.5)), (top, (0.5, 0.96))):
        panel.text(
            *place,
            letter,
            transform=panel.transAxes,
            ha="left" if letter == left else "center",
            va="center" if letter == left else "top",
            color="white",
            fontsize=6.5,
            path_effects=_LEGIBLE,
        )


def _scale_bar(panel: Axes, plane: Plane) -> None:
    """Draw a bar of 1, 2 or 5 × 10ⁿ mm, at most 30 % of the panel's width, and its length."""
    across, down = plane.size
    lengths = np.outer(10.0 ** np.arange(-4, 4), (1, 2, 5)).ravel()
    length = float(lengths[lengths <= 0.3 * across].max())
    start = 0.04 * across
    line = [start, start + length], [0.96 * down, 0.96 * down]
    panel.plot(*line, color="white", linewidth=1.6, path_effects=_LEGIBLE, clip_on=False)
    panel.text(
        start,
        0.94 * down,
        f"{length:g} mm",
        color="white",
        fontsize=6.5,
        va="bottom",
        path_effects=_LEGIBLE,
    )


P = ParamSpec("P")
Dash = Literal["-", "--", ":"]

# Okabe and Ito (2008): told apart with any colour vision; black is left out, as it would vanish
# on a scan. From the eighth on the dash pattern tells two of the same colour apart.
COLOURS = ("#D55E00", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#0072B2", "#F0E442")
DASHES: tuple[Dash, ...] = ("-", "--", ":")
INK, GREY, FAINT = "#222222", "#777777", "#D5D5D5"

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.color": INK,
    "figure.facecolor": "white",
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function with the house style and put matplotlib's own back after it."""

    @wraps(draw)
    def draw_in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return draw_in_style


def line_style(position: int) -> tuple[str, Dash]:
    """Colour and dash pattern of the n-th line or label of a figure.

    Example:
        >>> line_style(0), line_style(7)
        (('#D55E00', '-'), ('#D55E00', '--'))
    """
    return COLOURS[position % len(COLOURS)], DASHES[position // len(COLOURS) % len(DASHES)]


def open_frame(axes: Axes) -> None:
    """Leave only the left and bottom spines, and faint grid lines behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
