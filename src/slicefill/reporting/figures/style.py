"""The look all figures share; nothing of it stays behind in matplotlib's global settings."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
