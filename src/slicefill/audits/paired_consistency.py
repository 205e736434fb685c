"""Does a network say the same of imputed slices as of real ones? Dice between both predictions.

Prediction agreement of Saparov et al. (2021). It rewards consistency, not correctness: read it
beside Dice.
"""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import Field

from slicefill.metrics.overlap import dice
from slicefill.params.base import Params as BaseParams
from slicefill.types import Case, Lazy, Prediction

COLUMNS = ["network", "case", "label", "agreement"]
_SAME = 1e-3  # of a voxel: grids that differ by less are one
logger = logging.getLogger(__name__)


class Params(BaseParams):
    """What is compared with."""

    reference: str = Field("true_slices", description="row whose images are the true ones")


def audit(
    cases: Mapping[str, Lazy[Case]],
    predictions: Mapping[str, Mapping[str, Lazy[Prediction]]],
    params: Params,
) -> pd.DataFrame:
    """Compare predictions on imputed volumes with those on the true ones (`AuditFile`).

    Returns:
        `network`, `case`, `label` (id) and `agreement`: Dice on the slices that both have; nan
        where neither shows the label. None of a network without a reference of its engine and seed
        (if there is none at all, a warning names the rows there are); one whose slices lie
        elsewhere is named.
    """
    rows = []
    for network, of_cases in predictions.items():
        method, _, engine = network.partition("/")
        reference = predictions.get(f"{params.reference}/{engine}", {})
        for name in [] if method == params.reference else of_cases:
            if name not in cases or name not in reference:
                continue
            rows += _compare(network, name, of_cases[name].make(), reference[name].make())
    if not rows:
        logger.warning(
            "paired_consistency: no row is compared: expected predictions of the row %s by the "
            "engine and seed of another, got %s: set `reference` to a row that is imputed_by "
            "oracle, and put it among the methods of the preset",
            params.reference, ", ".join(predictions) or "none",
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS).astype({"agreement": np.float64})


def _compare(
    network: str, case: str, found: Prediction, reference: Prediction
) -> list[tuple[str, str, int, float]]:
    """A row per label, on the box that both volumes have: an oracle may end later."""
    tolerance = _SAME * reference.label.spacing.min()
    if not np.allclose(found.label.affine, reference.label.affine, rtol=0, atol=tolerance):
        logger.warning(
            "%s, %s: is not compared, for its slices lie elsewhere than those of the reference: "
            "impute as many as were removed", network, case,
        )  # fmt: skip
        return []
    shapes = zip(found.label.stored.shape, reference.label.stored.shape, strict=True)
    box = tuple(slice(min(pair)) for pair in shapes)
    one, other = found.label.stored[box], reference.label.stored[box]
    ids = sorted(int(each) for each in found.record["label_names"] if int(each))
    return [(network, case, each, dice(one == each, other == each)) for each in ids]
