"""Figures of the fusion of views: the spread of the scores, and groups in full."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from slicefill.grids.sampled import Box, whole
from slicefill.imputation.trace import acquired_places
from slicefill.metrics.overlap import dice
from slicefill.params.fused_views import FusedViewsParams
from slicefill.types import Array, Case, Volume
from slicefill.views.scoring import on_grid_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from slicefill.reporting.figures import ViewSpec


def draw_scores(scores: pd.DataFrame, params: FusedViewsParams) -> "dict[str, Figure]":
    """Draw the spread of the scores over the groups of views, by way of fusion."""
    from slicefill.reporting.figures import metric_plots

    plotted = [column for column in params.plotted if column in scores]
    if scores.empty or not plotted:
        return {}
    titles = {name: method.title for name, method in params.methods.items()}
    named = scores.assign(method=scores["method"].map(titles))
    return {"fusion_scores": metric_plots(named, plotted)}


def draw_group(fused: Mapping[str, Case], truth: Case | None, names: Mapping[int, str]) -> "Figure":
    """Draw what the ways made of one group: labels over the image, with the outline of the truth.

    Where there are no labels, the images alone.

    Args:
        fused: By title; those on the grid of the first are drawn. Their records say which slices
            were acquired.
        truth: The isotropic case, if the views are simulated.
        names: Label id to name.
    """
    from slicefill.reporting.figures import first_channel, overlays, views

    first = next(iter(fused.values()))
    shape = first.image.stored.shape[:3]
    there = {title: case for title, case in fused.items() if case.image.stored.shape[:3] == shape}
    alike = {title: case.label for title, case in there.items() if case.label is not None}
    if not alike:
        images = {title: first_channel(case.image) for title, case in there.items()}
        return views(None, images, _spec("views fused", first, whole(first.image)))
    label = None if truth is None or truth.label is None else on_grid_of(first.image, truth.label)
    shown = next(iter(alike.values())) if label is None else first.image.with_stored(label)
    box = _box(shown)
    headed = {
        f"{title}\n{_told(found.stored, label)}": found.stored[box]
        for title, found in alike.items()
    }
    spec = _spec("views fused: prediction tinted, truth outlined", first, box, shown)
    return overlays(
        first_channel(first.image)[box], None if label is None else label[box], headed, names, spec
    )


def _spec(title: str, fused: Case, box: Box, label: Volume | None = None) -> "ViewSpec":
    """Describe what a box cuts out of a fused case; acquired are slices of its reference."""
    from slicefill.reporting.figures import grid_spec

    axis, begins = int(fused.record["axis"]), [side.start for side in box]
    before = fused.record["fusion"]["reference_begins_at"][axis] - begins[axis]
    cut = fused.image.with_stored(fused.image.stored[box])
    inside = range(cut.stored.shape[axis])
    places = sorted(acquired_places(fused.record["slices"]))
    acquired = [place + before for place in places if place + before in inside]
    named = None if label is None else label.with_stored(label.stored[box])
    told = f"; slices count from {tuple(begins)}" if any(begins) else ""
    return grid_spec(f"{title}{told}", cut, axis, acquired, named)


def _box(shown: Volume) -> Box:
    """Where labels are, with a margin of a tenth of each side."""
    stored = shown.stored
    filled = [np.flatnonzero(stored.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    if not filled[0].size:
        return whole(shown)
    first, second, third = (
        slice(max(0, int(f[0]) - size // 10), int(f[-1]) + 1 + size // 10)
        for f, size in zip(filled, stored.shape, strict=False)
    )
    return first, second, third


def _told(found: Array, truth: Array | None) -> str:
    """Mean Dice of the labels of the truth."""
    if truth is None:
        return ""
    each = [dice(found == number, truth == number) for number in np.unique(truth) if number]
    return f"Dice {np.mean(each):.3f}" if each else ""
