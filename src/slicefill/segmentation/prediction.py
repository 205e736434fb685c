"""From a network to label maps in the world of the scan, and from those to scores."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from slicefill.geometry import slices_back, slices_first, spacing_slices_first
from slicefill.metrics.segmentation import score_segmentation
from slicefill.params import PredictionParams, ScoringParams
from slicefill.segmentation.inference import refinement, wrap_all
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.probabilities import checked
from slicefill.segmentation.scans import Scan
from slicefill.segmentation.subvoxel import jump, widest_step
from slicefill.types import CONFIDENCE_STEPS, Array, Case, Checkpoint, Prediction, Volume


def make_predictor(
    engine: ModuleType, checkpoint: Checkpoint, params: PredictionParams
) -> Predictor:
    """Make a trained engine ready to predict, with the wrappers of `params.inference`."""
    name = checkpoint.get("path") or f"engine {engine.__name__.rpartition('.')[2]}"
    classes = len(checkpoint.get("classes", params.label_names))  # none: a network that is foreign
    predictor = checked(engine.load(checkpoint, params), classes, name)
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
        Label ids, uint8 where they fit, and, if kept, probabilities `(I, J, K, classes)` and
        confidence, the probability of the label, in the
        world of the grid, or of a finer one where a wrapper refines it; a record that says which
        slices were acquired, how many times finer the grid is along slices, rows and columns, and
        how unevenly labels change from slice to slice (`jump`).
    """
    probabilities = predictor(scan)
    finer = refinement(params.inference.wrappers)
    ids = np.array(sorted(params.label_names))
    dtype = np.uint8 if ids.max() < 256 else np.int16
    label = ids[probabilities.argmax(0)].astype(dtype)
    softmax = None
    if params.inference.softmax:
        last = np.ascontiguousarray(slices_back(np.moveaxis(probabilities, 0, -1), scan.axis))
        softmax = _on_grid(last, grid, scan.axis, finer)
    confidence = None
    if params.inference.confidence:
        steps = np.rint(CONFIDENCE_STEPS * probabilities.max(0)).astype(np.uint16)
        stored = slices_back(steps, scan.axis)
        confidence = _on_grid(stored, grid, scan.axis, finer, 1 / CONFIDENCE_STEPS)
    record = {
        "axis": scan.axis,
        "acquired": (finer[0] * np.flatnonzero(scan.acquired)).tolist(),
        "finer": list(finer),
        "jump": round(jump(label, widest_step(scan) * finer[0]), 3),
        "label_names": {str(i): name for i, name in params.label_names.items()},
    }
    where = _on_grid(slices_back(label, scan.axis), grid, scan.axis, finer)
    return Prediction(where, softmax, record, confidence)


def score_prediction(
    prediction: Prediction, truth: Volume, params: ScoringParams, *, absent: Sequence[int] = ()
) -> dict[str, float]:
    """Score a prediction on acquired slices: those that are synthetic are dropped.

    Args:
        prediction: On the imputed grid, or on one that is finer in the plane too.
        truth: Label map of the acquired slices.
        params: Classes, tolerance, policy for empty masks.
        absent: Slices of the truth that the series lacked: what they were filled with is no truth,
            and is taken for predicted.
    """
    axis = prediction.record["axis"]
    spacing = spacing_slices_first(truth.spacing, axis)
    found, real = acquired_labels(prediction), slices_first(truth.stored, axis)
    if axis != Case.ACROSS or not absent:
        return score_segmentation(found, real, spacing, params)
    there = ~np.isin(np.arange(len(real)), absent)
    whole = real.copy()
    whole[there] = found[there] if len(found) == len(real) else found
    return score_segmentation(whole, real, spacing, params, there)


def score_at_full_resolution(
    prediction: Prediction, truth: Volume, source: Mapping[str, Any], params: ScoringParams
) -> dict[str, float]:
    """Score a prediction of a subsampled scan against the labels before slices were removed.

    Overlap and volume on the removed slices; surfaces, and the `..._all_slices`, on all from the
    first acquired one to the last.

    Args:
        prediction: On the fine grid.
        truth: Label map of the isotropic case.
        source: Record of the acquired case: which slices were `kept`, and which `removed`.
        params: Classes, tolerance, policy for empty masks.

    Raises:
        ValueError: If the prediction does not have just these slices.
    """
    axis, expected = prediction.record["axis"], source["kept"][-1] + 1
    found = slices_first(prediction.label.stored, axis)
    if len(found) != expected:
        msg = (
            f"scoring.slices: all: expected {expected} slices, those of the isotropic scan from "
            f"the first acquired one to the last, got {len(found)}: predict every one of them "
            "(comparison.methods.<name>.predict), or set scoring.slices to acquired"
        )
        raise ValueError(msg)
    removed = np.isin(np.arange(expected), source["removed"])
    real = slices_first(truth.stored, axis)[:expected]
    spacing = spacing_slices_first(truth.spacing, axis)
    _, rows, columns = prediction.record["finer"]
    guessed = np.isin(np.arange(expected), source.get("guessed", ()))
    found = np.where(guessed[:, None, None], real, found[:, ::rows, ::columns])
    return score_segmentation(found, real, spacing, params, removed)


def acquired_labels(prediction: Prediction) -> Array:
    """Return the labels at the voxel centres of the acquired slices, `(D, H, W)`."""
    axis, (_, rows, columns) = prediction.record["axis"], prediction.record["finer"]
    slices = slices_first(prediction.label.stored, axis)[prediction.record["acquired"]]
    return np.asarray(slices[:, ::rows, ::columns])


def _on_grid(
    stored: Array, grid: Case, axis: int, finer: tuple[int, int, int], slope: float = 1.0
) -> Volume:
    """Put voxels in the world of a grid, or of one that is finer along slices, rows and columns."""
    if finer == (1, 1, 1):
        return grid.image.with_stored(stored, slope_intercept=(slope, 0.0))
    slices, *plane = finer
    steps = 1 / np.insert(np.asarray(plane, float), axis, slices)
    return grid.image.with_stored(stored, np.diag([*steps, 1.0]), (slope, 0.0))
