"""Predicted labels over the image, with the outline of the truth, from three directions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from slicefill.reporting.figures.grid import GREY, Dash, draw_pixels, line_style, panel_grid, styled
from slicefill.reporting.figures.planes import Plane, ViewSpec, common_shape, upright_planes
from slicefill.reporting.figures.views import grey_window
from slicefill.types import Array

LabelStyles = dict[int, tuple[str, Dash]]
"""Label id to colour and dash pattern."""

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


_OPACITY = 0.3
_MOST_NAMED = 24  # labels in a legend
LEGEND_INCHES = 1.4


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
        names: Label id to name; one colour each, in this order, then labels without a name. Id 0
            is not drawn.
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
    names = name_labels(names, [plane.cut(ids) for plane in planes for ids in labels.values()])
    styles = label_styles(names)
    figure, axes = panel_grid(planes, list(cases), spec.title, LEGEND_INCHES)
    for panels, case in zip(axes.T, cases.values(), strict=True):
        for panel, plane in zip(panels, planes, strict=True):
            draw_pixels(panel, plane, plane.cut(case.image), cmap="gray", norm=window)
            draw_labels(panel, plane, plane.cut(case.label), styles)
    label_legend(figure, axes, names)
    return figure


def name_labels(names: Mapping[int, str], shown: Iterable[Array]) -> dict[int, str]:
    """Name all labels that are shown; those without a name come last, by their id.

    Example:
        >>> name_labels({0: "background", 7: "tumour"}, [np.array([0, 3, 7])])
        {0: 'background', 7: 'tumour', 3: 'label 3'}
    """
    found = sorted({int(label) for ids in shown for label in np.unique(ids)})
    unnamed = {label: f"label {label}" for label in found if label and label not in names}
    return {**names, **unnamed}


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
    """Name the labels in the right margin of a sheet of panels, then `further` entries.

    Where there are too many for the margin, the last are counted.
    """
    handles: list[Artist] = [
        Line2D([], [], color=colour, linestyle=dashes, label=names[label])
        for label, (colour, dashes) in label_styles(names).items()
    ]
    if len(handles) > _MOST_NAMED:
        more = f"and {len(handles) - _MOST_NAMED} more"
        handles[_MOST_NAMED:] = [Line2D([], [], linestyle="none", label=more)]
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
