"""Imputed volumes beside the truth, from three directions (Slice Imputation, Figs. 3 to 5)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from slicefill.reporting.figures.grid import draw_pixels, panel_grid, side_bar, styled
from slicefill.reporting.figures.planes import ViewSpec, common_shape, upright_planes
from slicefill.types import Array, Volume


@styled
def views(truth: Array | None, imputed: Mapping[str, Array], spec: ViewSpec) -> Figure:
    """Show imputed volumes and where they differ from the truth.

    Args:
        truth: The real volume, `(I, J, K)`, intensities; None leaves the differences out.
        imputed: Method name to imputed volume on the same grid, same intensities.
        spec: The grid and where to cut it.

    Returns:
        Rows: axial, sagittal, coronal. Columns: truth, then per method its view and
        |method - truth|. Grey window: `grey_window` of the truth (without one, of the first
        method). All differences share one colour scale, from 0 to the 99.5th percentile of
        what is shown.

    Raises:
        ValueError: If there is no volume, or shapes differ, or `spec` does not fit them.
    """
    volumes = dict(imputed) if truth is None else {"truth": truth, **imputed}
    planes = upright_planes(spec, common_shape(volumes))
    cuts = {name: [plane.cut(volume) for plane in planes] for name, volume in volumes.items()}
    errors = {} if truth is None else {name: _error(cuts[name], cuts["truth"]) for name in imputed}
    grey = ScalarMappable(grey_window(next(iter(volumes.values()))), "gray")
    heat = ScalarMappable(_shared_scale(errors), "inferno")
    columns = {}
    for name, pixels in cuts.items():
        columns[name] = pixels, grey
        if name in errors:
            columns[f"|{name} - truth|"] = errors[name], heat
    figure, axes = panel_grid(planes, list(columns), spec.title, 0.8 if errors else 0.1)
    for panels, (pixels, scale) in zip(axes.T, columns.values(), strict=True):
        for panel, plane, image in zip(panels, planes, pixels, strict=True):
            draw_pixels(panel, plane, image, cmap=scale.cmap, norm=scale.norm)
    if errors:
        side_bar(figure, axes, heat, "absolute difference (intensity)")
    return figure


def grey_window(volume: Array) -> Normalize:
    """Map percentiles 0.5 and 99.5 of a volume to black and white."""
    low, high = np.percentile(volume, (0.5, 99.5))
    return Normalize(float(low), float(high))


def first_channel(volume: Volume) -> Array:
    """Intensities of a volume to draw, `(I, J, K)`: of several channels, those of the first."""
    values = volume.intensities()
    return values if values.ndim == 3 else values[..., 0]


def _error(pixels: Sequence[Array], truth: Sequence[Array]) -> list[Array]:
    # float64, as unsigned integers would wrap around
    return [
        np.abs(one.astype(np.float64) - other) for one, other in zip(pixels, truth, strict=True)
    ]


def _shared_scale(errors: Mapping[str, Sequence[Array]]) -> Normalize:
    shown = [error.ravel() for planes in errors.values() for error in planes]
    high = float(np.percentile(np.concatenate(shown), 99.5)) if shown else 0.0
    return Normalize(0.0, high or 1.0)  # identical volumes: all black, on a scale that exists


_OPACITY = 0.55


@styled
def attention_maps(slices: Array, maps: Array) -> Figure:
    """Show slices and, below each, its activation map laid over it.

    Args:
        slices: `(n, H, W)`, square pixels, one intensity scale.
        maps: Activation of the attention mask, `(n, H, W)`; one colour scale for all, from
            the lowest to the highest value.

    Raises:
        ValueError: If the two shapes differ or hold no slices.
    """
    if slices.shape != maps.shape or slices.ndim != 3 or len(slices) == 0:
        msg = (
            "attention_maps: expected slices and maps of one shape (n, H, W), n > 0, "
            f"got {slices.shape} and {maps.shape}"
        )
        raise ValueError(msg)
    count, rows, columns = slices.shape
    width = min(2.0, 8.5 / count)
    figure = Figure(figsize=(count * width + 1.0, 2 * width * rows / columns + 0.3))
    figure.set_layout_engine("compressed")
    axes = figure.subplots(2, count, squeeze=False)
    grey = {"cmap": "gray", "vmin": slices.min(), "vmax": slices.max()}
    heat = ScalarMappable(Normalize(float(maps.min()), float(maps.max())), "viridis")
    for (above, below), image, activation in zip(axes.T, slices, maps, strict=True):
        for panel in (above, below):
            panel.imshow(image, **grey)
            panel.set_axis_off()
        below.imshow(activation, cmap=heat.cmap, norm=heat.norm, alpha=_OPACITY)
    figure.colorbar(heat, ax=axes[1].tolist(), label="activation", alpha=_OPACITY, pad=0.01)
    return figure
