"""What a case tells of its own grid: where to cut it, where each slice comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.reporting.figures.planes import ViewSpec
from slicefill.types import Array, Case, Volume


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
