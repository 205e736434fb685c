"""One imputed case beside its acquired slices, with its labels and its confidence map."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from slicefill.reporting.figures.grid import draw_pixels, panel_grid, styled
from slicefill.reporting.figures.overlays import (
    LEGEND_INCHES,
    draw_labels,
    label_legend,
    label_styles,
    name_labels,
)
from slicefill.reporting.figures.planes import Plane, ViewSpec, common_shape, upright_planes
from slicefill.reporting.figures.views import first_channel, grey_window
from slicefill.types import Array, Case, Volume

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
        names: Label id to name; one colour each, in this order, then labels without a name. Id 0
            is not drawn.
        spec: The grid of the imputed case and where to cut it: `imputed_spec`.

    Returns:
        Rows: axial, sagittal, coronal; fine lines mark where the other two planes cut. Columns:
        acquired slices, imputed, labels (where the case has some), confidence in [0, 1].

    Raises:
        ValueError: If shapes differ, or `spec` does not fit them.
    """
    step = imputed.record["count"] + 1
    image = first_channel(imputed.image)
    slabs = as_slabs(first_channel(acquired_case.image), spec.axis, step)
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
        shown = name_labels(names, [plane.cut(imputed.label.stored) for plane in planes])
        _tint(axes[:, 2], planes, imputed.label.stored, shown)
        label_legend(figure, axes, shown)
    _bar_below(figure, axes[-1, -1])
    return figure


def as_slabs(acquired_case: Array, axis: int, step: int) -> Array:
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


def grid_spec(
    title: str,
    volume: Volume,
    axis: int,
    acquired: Sequence[int] | None = None,
    label: Volume | None = None,
) -> ViewSpec:
    """Describe the grid of a volume, cut in the middle of its labels, or of itself.

    Args:
        title: Heading of the figure.
        volume: Any volume on the grid.
        axis: Through-plane array axis.
        acquired: Acquired slices along it, in order; if omitted, all are. Where some are not, the
            cut moves to the middle of the nearest interval; of two, to that of the higher index.
        label: Labels on the grid; the cut goes through their medians if any is not 0.
    """
    shape = volume.stored.shape[:3]
    kept = np.arange(shape[axis]) if acquired is None else np.asarray(acquired)
    at = [size // 2 for size in shape]
    if label is not None and label.stored.any():
        at = [int(np.median(index)) for index in np.nonzero(label.stored)]
    intervals = _interval_middles(kept)
    if intervals:
        at[axis] = min(reversed(intervals), key=lambda middle: abs(middle - at[axis]))
    return ViewSpec(
        title=title,
        spacing=tuple(volume.spacing),
        orientation="".join(nib.aff2axcodes(volume.affine)),
        axis=axis,
        acquired=np.isin(np.arange(shape[axis]), kept),
        at=(at[0], at[1], at[2]),
    )


def _interval_middles(acquired: Array) -> list[int]:
    """Return the middle synthetic slice of every interval between acquired slices."""
    below, above = acquired[:-1], acquired[1:]
    return [int(middle) for middle in ((below + above) // 2)[above - below > 1]]


def imputed_spec(title: str, imputed: Case, at: tuple[int, int, int] | None = None) -> ViewSpec:
    """Describe the grid of an imputed case, cut at a voxel.

    Args:
        title: Heading of the figure.
        imputed: Its record gives the through-plane array axis, `axis`, and the synthetic slices
            per interval, `count`.
        at: Voxel `(i, j, k)`; if omitted, as `grid_spec` chooses.
    """
    axis, step = imputed.record["axis"], imputed.record["count"] + 1
    acquired = range(0, imputed.image.stored.shape[axis], step)
    label = imputed.label if at is None else None  # to look for its middle takes a while
    spec = grid_spec(title, imputed.image, axis, acquired, label)
    return spec if at is None else replace(spec, at=at)


def slice_origin(record: Mapping[str, Any], index: int) -> str:
    """Say where a slice of an imputed case comes from.

    Args:
        record: Of the imputed case; its `slices` are in order.
        index: Slice along the through-plane axis.

    Example:
        >>> slices = [{"acquired": 0}, {"between": [0, 1], "t": 0.5}, {"acquired": 1}]
        >>> slice_origin({"slices": slices}, 1)
        'slice 1 of 0 to 2: synthetic, between acquired slices 0 and 1 at t = 0.5'
        >>> slice_origin({"slices": slices}, 2)
        'slice 2 of 0 to 2: acquired slice 1'
    """
    slices = record["slices"]
    where, origin = f"slice {index} of 0 to {len(slices) - 1}", slices[index]
    if "acquired" in origin:
        return f"{where}: acquired slice {origin['acquired']}"
    before, after = origin["between"]
    return (
        f"{where}: synthetic, between acquired slices {before} and {after} at t = {origin['t']:g}"
    )
