"""An MLflow run is opened before a Kedro run, and closed after it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from slicefill import tracking
from slicefill.params import TrackingParams, as_plain
from slicefill.types import ModelPromise

_AXIS = {"L": 0, "A": 1, "S": 2}  # of arrays that are not turned; any other by the spacing
_IMAGES = "images"
_SECTIONS = {"imputation": ["imputation"], "segmentation": ["augmentation", "segmentation"]}
"""Sections that a served model needs, by its kind."""


class TrackingHook:
    """Opens an MLflow run and logs the datasets whose catalog entries ask for it.

    `metadata: {mlflow: true}` logs an output as an artifact of the run, `{mlflow: images}` one that
    shows scans, if `tracking.images` allows it, `{mlflow_inputs: true}` the splits of the data as
    its inputs, and `{mlflow_model: imputation}` (or `segmentation`) registers the models in an
    output. A run that makes nothing anew is not tracked.
    """

    def __init__(self) -> None:
        self._globals: dict[str, Any] = {}
        self._design: dict[str, Any] = {}
        self._images = False
        self._catalog: DataCatalog | None = None  # of the run that is tracked

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the globals: name of the experiment, axis, factor, variant, preset and seed."""
        self._globals = dict(context.config_loader["globals"])

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Open a run named after experiment, pipelines and method."""
        project, overrides = Path(run_params["project_path"]), run_params["runtime_params"] or {}
        chosen = {name: value for name, value in overrides.items() if name in self._globals}
        self._design, self._catalog = {**self._globals, **chosen}, None
        tags = tracking.run_tags(self._design, run_params, _commit(project))
        name = tracking.run_name(self._design, run_params)
        if tracking.start_run(project, name, tags, hold=True) is None:
            return
        self._images = _allows_images(catalog)
        wanted = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
        params = {name.removeprefix("params:"): catalog.load(name) for name in wanted}
        tracking.log_params(as_plain(params))
        tracking.log_environment()
        self._catalog = catalog

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Log which data the run reads."""
        if self._metadata(dataset_name).get("mlflow_inputs"):
            self._log_inputs(data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log an output, or register the models in it, if its catalog entry says so."""
        metadata = self._metadata(dataset_name)
        if getattr(self._find(dataset_name), "made", 0):
            tracking.made()
        wanted = self._images if metadata.get("mlflow") == _IMAGES else metadata.get("mlflow")
        if wanted and self._find(dataset_name).exists():  # figures: perhaps none
            with _on_disk(self._find(dataset_name)) as path:
                tracking.log_artifact(path)
        if metadata.get("mlflow_inputs"):
            self._log_inputs(data)
        if "mlflow_model" in metadata:
            self._register(self._find(dataset_name), data, metadata["mlflow_model"])

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close the run as finished."""
        tracking.end_run("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close the run as failed."""
        tracking.end_run("FAILED")

    def _find(self, name: str) -> Any:
        return None if self._catalog is None else self._catalog.get(name)

    def _metadata(self, name: str) -> dict[str, Any]:
        return getattr(self._find(name), "metadata", None) or {}

    def _load(self, name: str) -> Any:
        assert self._catalog is not None
        return self._catalog.load(name)

    def _log_inputs(self, splits: Any) -> None:
        tracking.log_inputs(self._design["experiment"], self._load("manifest"), splits)

    def _register(self, models: Any, promises: dict[str, ModelPromise], kind: str) -> None:
        config = as_plain({name: self._load(f"params:{name}") for name in _SECTIONS[kind]})
        readers, failed = models.load(), models.failures()
        design = "{experiment}_{axis}_x{factor}".format(**self._design)
        for name in sorted(set(promises) & set(readers) - set(failed)):
            model = tracking.ModelFile(
                design=design,
                method=name.replace("/", "-"),
                kind=kind,
                read=readers[name],
                fingerprint=promises[name].fingerprint,
                config=config,
                axis=_AXIS.get(self._design["axis"], -1),
                # Networks that segment see imputed volumes, or know no spacing at all.
                factor=int(self._design["factor"]) if kind == "imputation" else 1,
            )
            tracking.register_model(model)


def _allows_images(catalog: DataCatalog) -> bool:
    """Whether pictures of scans may go to MLflow: as set, or else where nobody was scanned."""
    params = TrackingParams.model_validate(catalog.load("params:tracking"))
    if params.images is None:
        return bool(getattr(catalog.get("raw_folder"), "virtual", False))
    return params.images


@contextmanager
def _on_disk(dataset: Any) -> Iterator[Path]:
    """Yield the path of a dataset; one in an object store is downloaded while the block runs."""
    place = dataset._filepath
    files, path = (dataset._fs, str(place)) if hasattr(dataset, "_fs") else (place.fs, place.path)
    if "file" in files.protocol:
        yield Path(path)
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, place.name)
        files.get(path, str(copy), recursive=True)
        yield copy


def _commit(project: Path) -> dict[str, str]:
    """Tags: the commit, and whether tracked files differ from it."""
    commit = _git(project, "rev-parse", "HEAD") or os.environ.get("SLICEFILL_COMMIT", "")
    dirty = _git(project, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": commit and ("true" if dirty else "false")}


def _git(project: Path, *arguments: str) -> str:
    if shutil.which("git") is None:  # as in the container image, whose build sets SLICEFILL_COMMIT
        return ""
    command = ["git", "-C", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
