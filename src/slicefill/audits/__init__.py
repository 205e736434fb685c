"""Audits of predicted labels, a KIND: every file in this folder is one.

An audit stands in `conf/` as an entry of `audits`: its `kind`, which is the name of the file, and
the fields of the file's `Params`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
from pydantic import BaseModel

from slicefill.plugins import find_system
from slicefill.types import Case, Lazy, Prediction

if TYPE_CHECKING:
    from slicefill.plugins import System

FOLDER = __name__


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
