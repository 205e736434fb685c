"""Figures of the fusion of views: the spread of the scores, and groups in full."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from slicefill.metrics.overlap import dice
from slicefill.params.fused_views import FusedViewsParams
from slicefill.types import Array, Case
from slicefill.views.scoring import on_grid_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_scores(scores: pd.DataFrame, params: FusedViewsParams) -> "dict[str, Figure]":
    """Draw the spread of the scores over the groups of views, by way of fusion."""
    from slicefill.reporting.figures import metric_plots

    plotted = [column for column in params.plotted if column in scores]
    if scores.empty or not plotted:
        return {}
    titles = {name: method.title for name, method in params.methods.items()}
    named = scores.assign(method=scores["method"].map(titles))
    return {"fusion_scores": metric_plots(named, plotted)}


def draw_group(
    fused: Mapping[str, Case], truth: Case | None, names: Mapping[int, str]
) -> "Figure | None":
    """Draw what the ways made of one group: labels over the image, with the outline of the truth.

    Args:
        fused: By title; those on the grid of the first are drawn.
        truth: The isotropic case, if the views are simulated.
        names: Label id to name.

    Returns:
        The figure, or None where there are no labels.
    """
    from slicefill.reporting.figures import first_channel, grid_spec, overlays

    first = next(iter(fused.values()))
    alike = {
        title: case.label
        for title, case in fused.items()
        if case.label is not None and case.label.stored.shape == first.image.stored.shape[:3]
    }
    if not alike:
        return None
    label = None if truth is None or truth.label is None else on_grid_of(first.image, truth.label)
    shown = next(iter(alike.values())) if label is None else first.image.with_stored(label)
    box = _box(shown.stored)
    headed = {
        f"{title}\n{_told(found.stored, label)}": found.stored[box]
        for title, found in alike.items()
    }
    cut = shown.with_stored(shown.stored[box])
    spec = grid_spec("views fused: prediction tinted, truth outlined", cut, 2, label=cut)
    return overlays(
        first_channel(first.image)[box], None if label is None else label[box], headed, names, spec
    )


def _box(stored: Array) -> tuple[slice, ...]:
    """Where labels are, with a margin of a tenth of each side."""
    filled = [np.flatnonzero(stored.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    if not filled[0].size:
        return tuple(slice(0, size) for size in stored.shape[:3])
    return tuple(
        slice(max(0, int(f[0]) - size // 10), int(f[-1]) + 1 + size // 10)
        for f, size in zip(filled, stored.shape, strict=False)
    )


def _told(found: Array, truth: Array | None) -> str:
    """Mean Dice of the labels of the truth."""
    if truth is None:
        return ""
    each = [dice(found == number, truth == number) for number in np.unique(truth) if number]
    return f"Dice {np.mean(each):.3f}" if each else ""
