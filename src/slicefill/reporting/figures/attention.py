"""Where the attention network looks (Slice Imputation, Fig. 6)."""

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from slicefill.reporting.figures.style import styled
from slicefill.types import Array

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
