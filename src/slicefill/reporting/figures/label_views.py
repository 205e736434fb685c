"""Labels of imputed volumes beside the true labels, from three directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from slicefill.reporting.figures.grid import draw_pixels, panel_grid
from slicefill.reporting.figures.planes import Plane, ViewSpec, common_shape, upright_planes
from slicefill.reporting.figures.style import Dash, line_style, styled
from slicefill.reporting.figures.views import grey_window
from slicefill.types import Array

_OPACITY = 0.3
LEGEND_INCHES = 1.4

LabelStyles = dict[int, tuple[str, Dash]]
"""Label id to colour and dash pattern."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """An image and its label map on one grid, `(I, J, K)` each."""

    image: Array
    label: Array


@styled
def label_views(
    truth: Labelled | None,
    imputed: Mapping[str, Labelled],
    names: Mapping[int, str],
    spec: ViewSpec,
) -> Figure:
    """Show the labels of imputed volumes, tinted and outlined on the image they belong to.

    Args:
        truth: The real volume and its labels; None where there are none.
        imputed: Method name to imputed volume and labels, on the same grid.
        names: Label id to name; one colour each, in this order. Id 0 is not drawn.
        spec: The grid and where to cut it.

    Returns:
        Rows: axial, sagittal, coronal. Columns: truth, then the methods.

    Raises:
        ValueError: If there is no volume, or shapes differ, or `spec` does not fit them.
    """
    cases = dict(imputed) if truth is None else {"truth": truth, **imputed}
    images = {name: case.image for name, case in cases.items()}
    labels = {f"the labels of {name}": case.label for name, case in cases.items()}
    planes = upright_planes(spec, common_shape(images | labels))
    window = grey_window(next(iter(images.values())))
    styles = label_styles(names)
    figure, axes = panel_grid(planes, list(cases), spec.title, LEGEND_INCHES)
    for panels, case in zip(axes.T, cases.values(), strict=True):
        for panel, plane in zip(panels, planes, strict=True):
            draw_pixels(panel, plane, plane.cut(case.image), cmap="gray", norm=window)
            draw_labels(panel, plane, plane.cut(case.label), styles)
    label_legend(figure, axes, names)
    return figure


def label_styles(names: Mapping[int, str]) -> LabelStyles:
    """Give each label a colour and a dash pattern, in the order of `names`; 0 has none.

    Example:
        >>> label_styles({0: "background", 7: "tumour"})
        {7: ('#D55E00', '-')}
    """
    return {label: line_style(n) for n, label in enumerate(i for i in names if i != 0)}


def label_legend(
    figure: Figure,
    axes: NDArray[np.object_],
    names: Mapping[int, str],
    further: Sequence[Artist] = (),
) -> None:
    """Name the labels in the right margin of a sheet of panels, then `further` entries."""
    handles: list[Artist] = [
        Line2D([], [], color=colour, linestyle=dashes, label=names[label])
        for label, (colour, dashes) in label_styles(names).items()
    ]
    right = axes[0, -1].get_position(original=True).x1
    figure.legend(handles=[*handles, *further], loc="center left", bbox_to_anchor=(right, 0.5))


def draw_labels(panel: Axes, plane: Plane, ids: Array, styles: LabelStyles) -> None:
    """Tint and outline the labels `ids`, `(rows, columns)`, of a plane over what is drawn there."""
    rows, columns = ids.shape
    across = (np.arange(columns) + 0.5) * plane.size[0] / columns
    down = (np.arange(rows) + 0.5) * plane.size[1] / rows
    tint = np.zeros((rows, columns, 4))
    for label, (colour, dashes) in styles.items():
        inside = ids == label
        if inside.any() and not inside.all():
            tint[inside] = to_rgba(colour, _OPACITY)
            panel.contour(
                across, down, inside, [0.5], colors=colour, linestyles=dashes, linewidths=0.7
            )
    draw_pixels(panel, plane, tint, interpolation="nearest")
