"""Audits of predicted labels, a KIND: every file in this folder is one.

An audit stands in `conf/` as an entry of `audits`: its `kind`, which is the name of the file, and
the fields of the file's `Params`.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
from pydantic import BaseModel

from slicefill.geometry import slices_first
from slicefill.plugins import find_system
from slicefill.types import Array, Case, Lazy, Prediction

if TYPE_CHECKING:
    from slicefill.plugins import System

FOLDER = __name__
logger = logging.getLogger(__name__)


class AuditFile(Protocol):
    """What a file in this folder defines."""

    Params: type[BaseModel]

    def audit(
        self,
        cases: Mapping[str, Lazy[Case]],
        predictions: Mapping[str, Mapping[str, Lazy[Prediction]]],
        params: Any,
    ) -> pd.DataFrame:
        """Examine the predictions of all methods.

        Args:
            cases: Cases with their true labels, by case id.
            predictions: By method and network (`method/engine_seed`), then by case id.
            params: The entry, validated.

        Returns:
            A table; the caller adds the name of the entry as its first column.
        """


def run_audits(
    entries: Mapping[str, Mapping[str, Any]],
    cases: Mapping[str, Lazy[Case]],
    predictions: Mapping[str, Mapping[str, Lazy[Prediction]]],
) -> pd.DataFrame:
    """Run every audit of `conf/`; the tables one below the other, with the column `audit`.

    Raises:
        ValueError: If there is no such kind, or an entry does not fit its `Params`.
    """
    systems: list[System] = [
        find_system(FOLDER, f"audits.{name}", entry) for name, entry in entries.items()
    ]
    tables = [pd.DataFrame(columns=["audit"])]
    for system in systems:
        found = system.module.audit(cases, predictions, system.params)
        tables.append(found.assign(audit=system.name)[["audit", *found.columns]])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def judged(
    network: str,
    predictions: Mapping[str, Lazy[Prediction]],
    cases: Mapping[str, Lazy[Case]],
) -> Iterator[tuple[str, Prediction, Array]]:
    """Yield case, prediction and true labels, `(D, H, W)`, of the cases that have labels.

    A prediction that does not hold all acquired slices, as of an exact grid, is named and left out.
    """
    from slicefill.segmentation.prediction import acquired_labels

    for name, lazy in predictions.items():
        label = cases[name].make().label
        if label is None:
            continue
        found = lazy.make()
        truth = slices_first(label.stored, found.record["axis"])
        if acquired_labels(found).shape == truth.shape:
            yield name, found, truth
        else:
            logger.warning(
                "%s, %s: is not audited, for it lacks acquired slices: impute a count per interval",
                network,
                name,
            )
