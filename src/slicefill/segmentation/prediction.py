"""From a network to label maps in the world of the scan, and from those to scores."""

import numpy as np

from slicefill.geometry import slices_back, slices_first, spacing_slices_first
from slicefill.metrics.segmentation import score_segmentation
from slicefill.params import PredictionParams, ScoringParams
from slicefill.plugins import System
from slicefill.segmentation.inference import wrap_all
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.types import Case, Checkpoint, Prediction, Volume


def make_predictor(system: System, checkpoint: Checkpoint, params: PredictionParams) -> Predictor:
    """Make a trained engine ready to predict, with the wrappers of `params.inference`."""
    predictor: Predictor = system.module.load(checkpoint, system.params, params)
    return wrap_all(predictor, params.inference.wrappers)


def make_prediction(
    predictor: Predictor, scan: Scan, grid: Case, params: PredictionParams
) -> Prediction:
    """Segment a scan.

    Args:
        predictor: From the scan to class probabilities.
        scan: What it sees.
        grid: The case on whose grid the scan lies.
        params: Label ids in the order of the classes, and whether probabilities are kept.

    Returns:
        Label ids, uint8 where they fit, and, if kept, probabilities `(I, J, K, classes)`, in the
        world of the grid; a record that says which slices were acquired.
    """
    probabilities = predictor(scan)
    ids = np.array(sorted(params.label_names))
    dtype = np.uint8 if ids.max() < 256 else np.int16
    label = ids[probabilities.argmax(0)].astype(dtype)
    softmax = None
    if params.inference.softmax:
        last = np.moveaxis(probabilities, 0, -1)
        softmax = _on_grid(np.ascontiguousarray(slices_back(last, scan.axis)), grid)
    record = {
        "axis": scan.axis,
        "acquired": np.flatnonzero(scan.acquired).tolist(),
        "label_names": {str(i): name for i, name in params.label_names.items()},
    }
    return Prediction(_on_grid(slices_back(label, scan.axis), grid), softmax, record)


def score_prediction(
    prediction: Prediction, truth: Volume, params: ScoringParams
) -> dict[str, float]:
    """Score a prediction on acquired slices: those that are synthetic are dropped.

    Args:
        prediction: On the imputed grid.
        truth: Label map of the acquired slices.
        params: Classes, tolerance, policy for empty masks.
    """
    axis = prediction.record["axis"]
    found = slices_first(prediction.label.stored, axis)[prediction.record["acquired"]]
    spacing = spacing_slices_first(truth.spacing, axis)
    return score_segmentation(found, slices_first(truth.stored, axis), spacing, params)


def _on_grid(stored: np.ndarray, grid: Case) -> Volume:
    return grid.image.with_stored(stored, slope_intercept=(1.0, 0.0))
