"""Figures of a run: views of volumes and labels, training curves, attention, score plots."""

from slicefill.reporting.figures.attention import attention_maps
from slicefill.reporting.figures.curves import loss_curves
from slicefill.reporting.figures.imputation_views import imputation_views
from slicefill.reporting.figures.imputed_grid import grid_spec, imputed_spec, slice_origin
from slicefill.reporting.figures.label_views import Labelled, label_views
from slicefill.reporting.figures.overlays import overlays
from slicefill.reporting.figures.paired import paired_plots
from slicefill.reporting.figures.planes import ViewSpec
from slicefill.reporting.figures.risk_coverage import risk_coverage
from slicefill.reporting.figures.scores import metric_plots
from slicefill.reporting.figures.training_curves import segmentation_curves
from slicefill.reporting.figures.views import first_channel, views

__all__ = [
    "Labelled",
    "ViewSpec",
    "attention_maps",
    "first_channel",
    "grid_spec",
    "imputation_views",
    "imputed_spec",
    "label_views",
    "loss_curves",
    "metric_plots",
    "overlays",
    "paired_plots",
    "risk_coverage",
    "segmentation_curves",
    "slice_origin",
    "views",
]
