"""Isotropic segmentation of an anisotropic scan by a network that knows acquired slices."""

from dataclasses import replace

from slicefill.geometry import slices_first
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer
from slicefill.params import ImputationParams, PredictionParams
from slicefill.segmentation.fine_grid import fuse_soft, with_classes
from slicefill.segmentation.opened import Opened
from slicefill.segmentation.prediction import make_prediction
from slicefill.segmentation.scans import make_scan
from slicefill.segmentation.subvoxel import in_phases
from slicefill.types import Array, Case, Prediction


def segment_isotropically(
    case: Case, network: Opened, imputer: Imputer, params: ImputationParams
) -> Prediction:
    """Segment a scan on the grid that imputation gives it.

    The mean of what the network finds on the imputed image, seen as so many scans of acquired
    spacing, and of what it finds on the acquired slices, moved with the image and made soft.
    Acquired slices keep what the network finds there.

    Args:
        case: The scan.
        network: Trained on acquired slices.
        imputer: The method.
        params: How it imputes; not `exact`.

    Returns:
        Labels in the world of the scan, with their confidence: the fused probability of the label.

    Raises:
        ValueError: If acquired slices would not stay on the grid, or the method makes no labels.
    """
    if params.exact:
        msg = (
            "exact: expected a grid that keeps the acquired slices, for the network segments them; "
            "set a spacing or a count without exact"
        )
        raise ValueError(msg)
    thick = make_scan(Case(case.image), None, None, network.scan)
    network.expect(thick)
    acquired = network.predictor(thick)
    own = params.model_copy(update={"through_plane": network.scan.through_plane})
    imputed, moved = _impute_labels(case, acquired.argmax(0), thick.axis, imputer, own)
    scan = make_scan(Case(case.image), imputed, None, network.scan)
    softness = network.params.inference.softness
    fine = in_phases(network.predictor, acquired)(scan)
    fused = fuse_soft(fine, moved, places=scan.acquired, softness=softness)
    made = make_prediction(lambda _: fused, scan, imputed, _with_confidence(network.params))
    told = {
        "imputed_by": imputer.name,
        "weights": imputer.weights,
        "model_sha256": imputer.model,
        "network": network.fingerprint,
        "predict": "fused",
    }
    return replace(made, record={**made.record, **told})


def _impute_labels(
    case: Case, classes: Array, axis: int, imputer: Imputer, params: ImputationParams
) -> tuple[Case, Array]:
    """Impute a scan with class indices of its slices; return it without, and those of all slices.

    Raises:
        ValueError: If acquired slices would not stay on the grid, or the method makes no labels.
    """
    imputed = impute_case(with_classes(case, classes, axis), imputer, params)
    if imputed.label is None or imputed.record["acquired_slices"] != "kept":
        msg = (
            f"{imputer.name}: expected a method that imputes labels and keeps acquired slices; "
            "choose another, such as pretrained"
        )
        raise ValueError(msg)
    return replace(imputed, label=None), slices_first(imputed.label.stored, axis)


def segment_acquired(case: Case, network: Opened) -> Prediction:
    """Segment the slices of a scan as they are, with the confidence in their labels."""
    scan = make_scan(Case(case.image), None, None, network.scan)
    network.expect(scan)
    made = make_prediction(network.predictor, scan, case, _with_confidence(network.params))
    return replace(made, record={**made.record, "network": network.fingerprint})


def _with_confidence(params: PredictionParams) -> PredictionParams:
    inference = params.inference.model_copy(update={"confidence": True})
    return params.model_copy(update={"inference": inference})
