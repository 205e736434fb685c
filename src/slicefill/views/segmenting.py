"""Views segmented by a network, as they are or filled before."""

import numpy as np

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer
from slicefill.imputation.trace import acquired_places
from slicefill.params import ImputationParams
from slicefill.segmentation.inference import refinement
from slicefill.segmentation.isotropic import segment_acquired
from slicefill.segmentation.opened import Opened
from slicefill.segmentation.prediction import make_prediction
from slicefill.segmentation.scans import make_scan
from slicefill.types import Case, Prediction


def segment_view(
    view: Case, network: Opened, imputer: Imputer | None, params: ImputationParams
) -> Prediction:
    """Segment the acquired slices of a view.

    Args:
        view: Image; a label it has is not looked at.
        network: What segments.
        imputer: Fills the view before the network sees it; None: it sees acquired slices.
        params: How it imputes.

    Returns:
        Labels on the grid of the view.

    Raises:
        ValueError: If wrappers make the network predict on another grid than it sees.
    """
    if (finer := refinement(network.params.inference.wrappers)) != (1, 1, 1):
        msg = (
            f"views: expected labels on the grid that the network sees, got {finer} times as fine "
            "(slices, rows, columns): take wrappers that refine it out of segmentation.inference"
        )
        raise ValueError(msg)
    if imputer is None:
        return segment_acquired(view, network)
    own = params.model_copy(update={"through_plane": network.scan.through_plane})
    filled = impute_case(Case(view.image), imputer, own)
    scan = make_scan(Case(view.image), filled, None, network.scan)
    made = make_prediction(network.predictor, scan, filled, network.params)
    places = acquired_places(filled.record["slices"])
    first = sorted(places, key=places.__getitem__)
    stored = np.ascontiguousarray(made.label.stored.take(first, scan.axis))
    label = view.image.with_stored(stored, None, (1.0, 0.0))
    told = {"network": network.fingerprint, "filled_by": imputer.name}
    return Prediction(label, record={**made.record, **told, "acquired": list(range(len(first)))})
