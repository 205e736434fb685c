"""One imputed case beside its acquired slices, with its labels and its confidence map."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from slicefill.reporting.figures.grid import draw_pixels, panel_grid
from slicefill.reporting.figures.label_views import (
    LEGEND_INCHES,
    draw_labels,
    label_legend,
    label_styles,
)
from slicefill.reporting.figures.planes import Plane, ViewSpec, common_shape, upright_planes
from slicefill.reporting.figures.style import styled
from slicefill.reporting.figures.views import first_channel, grey_window
from slicefill.types import Array, Case

_LEGIBLE = [withStroke(linewidth=1.2, foreground="black", alpha=0.35)]
_CONFIDENCE = ScalarMappable(Normalize(0.0, 1.0), "cividis")


@styled
def imputation_views(
    imputed: Case, acquired_case: Case, names: Mapping[int, str], spec: ViewSpec
) -> Figure:
    """Show what was acquired, what was filled in, its labels and how far it is trusted.

    Args:
        imputed: A case after imputation, with its `confidence` map; of several channels the first
            is drawn.
        acquired_case: The case it was imputed from. Each of its slices is drawn as thick as the
            slices lie apart; nothing is interpolated.
        names: Label id to name; one colour each, in this order. Id 0 is not drawn.
        spec: The grid of the imputed case and where to cut it: `imputed_spec`.

    Returns:
        Rows: axial, sagittal, coronal; fine lines mark where the other two planes cut. Columns:
        acquired slices, imputed, labels (where the case has some), confidence in [0, 1].

    Raises:
        ValueError: If shapes differ, or `spec` does not fit them.
    """
    step = imputed.record["count"] + 1
    image = first_channel(imputed.image)
    slabs = _as_slabs(first_channel(acquired_case.image), spec.axis, step)
    confidence = imputed.maps["confidence"].intensities()
    labels = {} if imputed.label is None else {"labels": image}
    columns = {"acquired slices": slabs, "imputed": image, **labels, "confidence": confidence}
    planes = upright_planes(spec, common_shape(columns))
    right = LEGEND_INCHES if labels else 0.1
    figure, axes = panel_grid(planes, list(columns), spec.title, right)
    grey = ScalarMappable(grey_window(image), "gray")
    for panels, (heading, volume) in zip(axes.T, columns.items(), strict=True):
        scale = _CONFIDENCE if heading == "confidence" else grey
        for panel, plane in zip(panels, planes, strict=True):
            draw_pixels(panel, plane, plane.cut(volume), cmap=scale.cmap, norm=scale.norm)
            _draw_cuts(panel, plane)
    if imputed.label is not None:
        _tint(axes[:, 2], planes, imputed.label.stored, names)
        label_legend(figure, axes, names)
    _bar_below(figure, axes[-1, -1])
    return figure


def _as_slabs(acquired_case: Array, axis: int, step: int) -> Array:
    """Put the nearest acquired slice at every place of the imputed grid; a tie goes upwards."""
    places = np.arange((acquired_case.shape[axis] - 1) * step + 1)
    return np.take(acquired_case, (places + step // 2) // step, axis=axis)


def _tint(
    panels: NDArray[np.object_], planes: list[Plane], label: Array, names: Mapping[int, str]
) -> None:
    styles = label_styles(names)
    for panel, plane in zip(panels, planes, strict=True):
        draw_labels(panel, plane, plane.cut(label), styles)


def _draw_cuts(panel: Axes, plane: Plane) -> None:
    across, down = plane.crossing
    for draw, place in ((panel.axvline, across), (panel.axhline, down)):
        draw(place, color="white", linewidth=0.6, alpha=0.7, path_effects=_LEGIBLE)


def _bar_below(figure: Figure, panel: Axes) -> None:
    """Put the colour bar of the confidence under its column."""
    place, inch = panel.get_position(original=True), 1 / figure.get_figheight()
    below = figure.add_axes((place.x0, place.y0 - 0.13 * inch, place.width, 0.06 * inch))
    bar = figure.colorbar(_CONFIDENCE, cax=below, orientation="horizontal", ticks=[0, 0.5, 1])
    bar.ax.tick_params(length=1.5, width=0.5, pad=1, labelsize=6)
