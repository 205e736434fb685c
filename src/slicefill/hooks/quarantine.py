"""A warning and an exit code for runs that left cases out."""

import logging
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from slicefill.execution import CASES_LEFT_OUT
from slicefill.ingestion.manifest import REFUSED

logger = logging.getLogger(__name__)
_UNSCORED = ("unscored", "unscored_predictions", "unaudited")  # of columns case and reason
_TABLES = "imputed_tables"  # among which there may be such a one


class QuarantineHook:
    """Ends a run that left cases out with a warning that counts them and an exit code."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Count what ingestion refused and what failed later.

        Raises:
            click.exceptions.Exit: With code 3, if any case was left out.
        """
        told = [w for name in sorted(pipeline.all_outputs()) for w in _left_out(name, catalog)]
        for words in told:
            logger.warning("%s", words)
        if told:
            from click.exceptions import Exit

            logger.warning("%d case(s) or model(s) were left out; the reasons are above", len(told))
            raise Exit(CASES_LEFT_OUT)


def _left_out(name: str, catalog: DataCatalog) -> list[str]:
    """Return a message for every case or model that is missing in an output, with the reason."""
    if name == "ingestion_report":
        report = catalog.load(name)
        rows = report[report["outcome"] == REFUSED].itertuples(index=False)
        return [
            f"refused: {row.case}{f': {row.file}' * bool(row.file)}: "
            f"expected {row.expected}, found {row.found}; {row.remedy}"
            for row in rows
        ]
    if name == "refused_cases":
        return [f"refused: {case}: {reason}" for case, reason in catalog.load(name).items()]
    if name in _UNSCORED:
        return _not_scored(name, catalog.load(name))
    if name == _TABLES:
        read = catalog.load(name).get("unscored") if catalog.exists(name) else None
        return _not_scored(name, read()) if read else []
    dataset: Any = catalog.get(name)
    failures = dataset.failures() if hasattr(dataset, "failures") else {}
    return [f"{name}: {case} failed: {reason}" for case, reason in failures.items()]


def _not_scored(name: str, table: pd.DataFrame) -> list[str]:
    rows = table.itertuples(index=False)
    return [f"{name}: {case} was not scored: {reason}" for case, reason in rows]
