"""Predicted labels over the image, with the outline of the truth, from three directions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from slicefill.reporting.figures.grid import draw_pixels, panel_grid
from slicefill.reporting.figures.label_views import (
    LEGEND_INCHES,
    LabelStyles,
    label_legend,
    label_styles,
)
from slicefill.reporting.figures.planes import Plane, ViewSpec, common_shape, upright_planes
from slicefill.reporting.figures.style import GREY, styled
from slicefill.reporting.figures.views import grey_window
from slicefill.types import Array

_RIGHT, _WRONG = 0.3, 0.8  # opacity where a prediction agrees with the truth, and where not


@styled
def overlays(
    image: Array,
    truth: Array | None,
    predictions: Mapping[str, Array],
    names: Mapping[int, str],
    spec: ViewSpec,
) -> Figure:
    """Show what each method segmented, and where it is wrong.

    A prediction is a tint, stronger where the truth has another label; the truth is an outline
    along the borders of its voxels. So a false positive is a strong tint, a false negative an
    untinted part of an outlined object.

    Args:
        image: What lies below, `(I, J, K)`, intensities.
        truth: The real labels on the same grid, ids; None where there are none.
        predictions: Heading of the column to predicted labels on the same grid, ids: the method
            and, if wanted, a score on a line of its own.
        names: Label id to name; one colour each, in this order. Id 0 is not drawn.
        spec: The grid and where to cut it.

    Returns:
        Rows: axial, sagittal, coronal. Columns: truth, then the predictions.

    Raises:
        ValueError: If there are no labels, or shapes differ, or `spec` does not fit them.
    """
    given = {f"the prediction of {name}": found for name, found in predictions.items()}
    known = {} if truth is None else {"the truth": truth}
    planes = upright_planes(spec, common_shape({"the image": image} | known | given))
    headings = [*(["truth"] if known else []), *predictions]
    if not headings:
        msg = "overlays: nothing to show: expected the truth or at least one prediction, got none"
        raise ValueError(msg)
    window, styles = grey_window(image), label_styles(names)
    figure, axes = panel_grid(planes, headings, spec.title, LEGEND_INCHES)
    for row, plane in zip(axes, planes, strict=True):
        real = None if truth is None else plane.cut(truth)
        for panel in row:
            draw_pixels(panel, plane, plane.cut(image), cmap="gray", norm=window)
            if real is not None:
                _outline(panel, plane, real, styles)
        for panel, found in zip(row[len(known) :], predictions.values(), strict=True):
            tint = _tint(plane.cut(found), real, styles)
            draw_pixels(panel, plane, tint, interpolation="nearest")
    label_legend(figure, axes, names, _legend_of_tints(bool(predictions), truth is not None))
    return figure


def _tint(found: Array, real: Array | None, styles: LabelStyles) -> Array:
    """Colour of the predicted label, RGBA in [0, 1], `(rows, columns, 4)`."""
    tint = np.zeros((*found.shape, 4))
    for label, (colour, _) in styles.items():
        tint[found == label] = to_rgba(colour, _RIGHT)
    if real is not None:
        tint[(found != real) & (tint[..., 3] > 0), 3] = _WRONG
    return tint


def _outline(panel: Axes, plane: Plane, ids: Array, styles: LabelStyles) -> None:
    """Outline each label along pixel borders, dashes running on around the corners."""
    down, across = (
        _edges(count, length) for count, length in zip(ids.shape, plane.size[::-1], strict=True)
    )
    doubled = np.pad(ids, 1).repeat(2, axis=0).repeat(2, axis=1)[1:-1, 1:-1]
    for label, (colour, dashes) in styles.items():
        inside = doubled == label
        if inside.any():
            panel.contour(
                across, down, inside, [0.5], colors=colour, linestyles=dashes, linewidths=0.6
            )


def _edges(count: int, length: float) -> Array:
    """Places just before and just behind every border of `count` pixels, mm.

    Between them a contour crosses from one pixel to the next, so that it follows the border
    and cuts no corner, however thick a slice is.
    """
    borders = np.linspace(0, length, count + 1)
    step = 1e-3 * length / count
    places: Array = np.stack([borders - step, borders + step], axis=1).ravel()
    return places


def _legend_of_tints(predicted: bool, known: bool) -> list[Patch]:
    if not (predicted and known):
        return []
    return [
        Patch(facecolor=GREY, alpha=_RIGHT, label="predicted, correct"),
        Patch(facecolor=GREY, alpha=_WRONG, label="predicted, wrong"),
        Patch(facecolor="none", edgecolor=GREY, label="outline: truth"),
    ]
