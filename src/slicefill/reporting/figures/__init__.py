"""Figures of a run: views of volumes and labels, training curves, attention, score plots."""

from slicefill.reporting.figures.audit import audit_plot
from slicefill.reporting.figures.curves import loss_curves, segmentation_curves
from slicefill.reporting.figures.ellipses import realism_ellipses
from slicefill.reporting.figures.imputation_views import (
    as_slabs,
    grid_spec,
    imputation_views,
    imputed_spec,
    slice_origin,
)
from slicefill.reporting.figures.overlays import Labelled, label_views, overlays
from slicefill.reporting.figures.paired import paired_plots
from slicefill.reporting.figures.planes import ViewSpec
from slicefill.reporting.figures.scores import metric_plots, risk_coverage
from slicefill.reporting.figures.views import attention_maps, first_channel, views

__all__ = [
    "Labelled",
    "ViewSpec",
    "as_slabs",
    "attention_maps",
    "audit_plot",
    "first_channel",
    "grid_spec",
    "imputation_views",
    "imputed_spec",
    "label_views",
    "loss_curves",
    "metric_plots",
    "overlays",
    "paired_plots",
    "realism_ellipses",
    "risk_coverage",
    "segmentation_curves",
    "slice_origin",
    "views",
]
