"""Which step a run is at, and at its end a summary: what was made, where, how good it is."""

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from slicefill import tracking
from slicefill.ingestion.manifest import LEFT_ASIDE, REFUSED
from slicefill.reporting import run_summary as told
from slicefill.tracking.naming import stages
from slicefill.training.ranks import machine_rank

logger = logging.getLogger(__name__)
_REPORTS = (
    "report",
    "comparison_report",
    "tuning_report",
    "fusion_markdown",
    "label_audit_report",
)
_REASONS = ("ingestion_report", "refused_cases")
_MODELS = ("models", "segmentation_models", "released_weights")


class SummaryHook:
    """Says which step a run is at, and in the end what there is, also if nothing was due."""

    def __init__(self) -> None:
        self._start = 0.0
        self._title = ""
        self._steps: list[str] = []

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Note when a run begins, and what it does."""
        self._start = time.monotonic()
        env = run_params["env"]
        self._title = " · ".join(filter(None, ["+".join(stages(run_params)), env]))
        self._steps = [node.name for node in pipeline.nodes]

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which step begins."""
        number = self._steps.index(node.name) + 1
        logger.info("step %d of %d: %s", number, len(self._steps), node.name)

    @hook_impl(wrapper=True)  # around all others: also if one of them ends the run with a code
    def after_pipeline_run(
        self, pipeline: Pipeline, catalog: DataCatalog
    ) -> Generator[None, None, None]:
        """Print the summary, last of all."""
        tracked = tracking.tell_store()  # of the run that is closed below
        try:
            return (yield)
        finally:
            if machine_rank() == 0:
                spent = told.tell_time(time.monotonic() - self._start)
                entries = {
                    **_entries(_Results(pipeline, catalog)),
                    "MLflow": [tracked] * bool(tracked),
                }
                print(told.lay_out(f"{self._title} · {spent}", entries), flush=True)


class _Results:
    """What a pipeline makes, as far as it lies on disk."""

    def __init__(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        self._names = pipeline.all_outputs()
        self._catalog = catalog

    def find(self, name: str) -> Any:
        """Return a dataset, if the pipeline makes it."""
        return self._catalog.get(name) if name in self._names else None

    def places(self, names: Sequence[str]) -> list[Any]:
        """Return those of some datasets that exist."""
        found = [self.find(name) for name in names]
        return [each for each in found if each is not None and each.exists()]

    def load(self, name: str, otherwise: Any) -> Any:
        """Load a dataset that the pipeline makes; something else where that is not possible."""
        try:
            return self._catalog.load(name) if name in self._names else otherwise
        except DatasetError:  # nothing there, an empty table, or other shards are not done
            return otherwise

    def variant(self) -> str:
        """Name the method that the experiment is about."""
        return str(self._catalog.load("params:variant"))

    def exact(self) -> bool:
        """Whether slices are imputed exactly so far apart, where acquired ones need not lie."""
        name = "params:imputation.exact"
        return name in self._catalog and bool(self._catalog.load(name))

    def failures(self) -> int:
        """Count the cases and models that failed."""
        made: list[Any] = [self._catalog.get(name) for name in self._names]
        return sum(len(each.failures()) for each in made if hasattr(each, "failures"))


def _entries(results: _Results) -> Mapping[str, list[str]]:
    return {
        "Imputed": _imputed(results),
        "Dense": _dense(results),
        "Fused": [_place(each) for each in results.places(["fused_cases"])],
        "Segmented": [_place(each) for each in results.places(["segmentations"])],
        "Models": [_place(each) for each in results.places(_MODELS)],
        "Left out": _left_out(results),
        "Verified": _verified(results),
        "Scores": _scores(results),
        "Report": [_address(each) for each in results.places(_REPORTS)],
    }


def _imputed(results: _Results) -> list[str]:
    dataset = results.find("imputed_cases")
    methods = results.load("imputing_methods", [])
    cases = results.load("imputed_cases", {})
    names = [name for name in cases if name.rpartition("/")[0] in methods]
    if not names:
        return []
    counted = told.tell_volumes(names, dataset.made)
    return [counted, _place(dataset), "NIfTI: any viewer opens them, as ITK-SNAP or 3D Slicer"]


def _dense(results: _Results) -> list[str]:
    dense = results.load("dense_cases", {})
    return [told.tell_dense(dense)] if dense else []


def _left_out(results: _Results) -> list[str]:
    report = results.load("ingestion_report", pd.DataFrame({"outcome": [], "files": []}))
    files = report.groupby("outcome")["files"].sum()
    refused, aside = (int(files.get(how, 0)) for how in (REFUSED, LEFT_ASIDE))
    refused += len(results.load("refused_cases", {}))
    counts = {"refused": refused, "failed": results.failures(), "left aside": aside}
    words = [f"{count} {how}" for how, count in counts.items() if count]
    why = [_place(each) for each in results.places(_REASONS)] * bool(refused)
    return [f"{', '.join(words)}; the log says why", *why] if words else []


def _verified(results: _Results) -> list[str]:
    table = results.load("verification", pd.DataFrame({"passed": []}))
    passed = int(table["passed"].sum())
    kept = "every acquired slice" + (" that falls on the grid" if results.exact() else "")
    return [f"{passed} of {len(table)} keep {kept} bit for bit"] if passed else []


def _scores(results: _Results) -> list[str]:
    nothing = pd.DataFrame()
    summary = results.load("evaluation_summary", nothing)
    lines = []
    if not summary.empty:
        own = told.main_method(results.load("imputing_methods", []), results.variant())
        others = [name for name in summary["method"].unique() if name != own]
        best = max(
            others, key=lambda name: told.main_scores(summary, name).get("psnr", 0), default=""
        )
        lines = [told.tell_scores(summary, name) for name in (own, best)]
    for name in ("comparison_summary", "fusion_summary"):
        compared = results.load(name, nothing)
        rows = [] if compared.empty else list(compared["method"].unique())
        lines += [told.tell_scores(compared, row) for row in rows]
    return [line for line in lines if line]


def _place(dataset: Any) -> str:
    """Where a dataset lies: an absolute path, an address in an object store, or `memory`."""
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", "memory")
    protocol = getattr(dataset, "_protocol", "file")
    return str(path) if protocol == "file" else f"{protocol}://{path}"


def _address(dataset: Any) -> str:
    """What opens a report in a browser."""
    place = _place(dataset)
    return place if "://" in place else Path(place).as_uri()
