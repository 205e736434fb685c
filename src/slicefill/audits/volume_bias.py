"""Signed volume bias of predicted labels, per network, case and label."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from slicefill.audits import judged
from slicefill.params.base import Fraction
from slicefill.params.base import Params as BaseParams
from slicefill.segmentation.prediction import acquired_labels
from slicefill.types import Case, Lazy, Prediction


class Params(BaseParams):
    """What is worth a look."""

    tolerance: Fraction = Field(description="largest absolute bias that is not marked")


def audit(
    cases: Mapping[str, Lazy[Case]],
    predictions: Mapping[str, Mapping[str, Lazy[Prediction]]],
    params: Params,
) -> pd.DataFrame:
    """Compare predicted with true volumes on acquired slices (`AuditFile`).

    Returns:
        `network`, `case`, `label` (id), `volume_bias` ((predicted - true) / true voxels; nan where
        the case does not show the label) and `marked` (beyond the tolerance, or predicted in a case
        that does not show it).
    """
    rows = []
    for network, of_cases in predictions.items():
        for name, found, truth in judged(network, of_cases, cases):
            kept = acquired_labels(found)
            for identity in sorted(int(each) for each in found.record["label_names"] if int(each)):
                true = int((truth == identity).sum())
                predicted = int((kept == identity).sum())
                bias = (predicted - true) / true if true else float("nan")
                marked = abs(predicted - true) > params.tolerance * true
                rows.append((network, name, identity, bias, marked))
    columns = ["network", "case", "label", "volume_bias", "marked"]
    return pd.DataFrame(rows, columns=columns).astype({"volume_bias": np.float64})
