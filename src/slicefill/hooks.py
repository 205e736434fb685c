"""What surrounds a Kedro run: an MLflow run, and the word on cases that were left out."""

import logging
import subprocess
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from slicefill import tracking
from slicefill.params import as_plain

logger = logging.getLogger(__name__)
_DESIGN = ("axis", "factor", "variant", "seed", "preset")
_SECTIONS = (
    "ingestion",
    "anisotropization",
    "synthesis",
    "super_resolution",
    "imputation",
    "evaluation",
    "augmentation",
    "segmentation",
    "scoring",
    "comparison",
)
_SHORTCUTS = {  # parameter → the override that sets it everywhere and names the folder
    "synthesis.variant": "variant",
    "comparison.preset": "preset",
    "anisotropization.factor": "factor",
    "super_resolution.factor": "factor",
    "anisotropization.axis": "axis",
    **{
        f"{section}.through_plane": "axis"
        for section in ("ingestion", "synthesis", "imputation", "augmentation", "super_resolution")
    },
}
CASES_LEFT_OUT = 3  # exit code of a run that finished, but not for every case


class ParametersHook:
    """Refuses overrides that would be without effect, or that would split an experiment."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Check `--params` before any node runs.

        Raises:
            ValueError: Naming the override and what to write instead.
        """
        for name, value in tracking.flatten(run_params["runtime_params"] or {}).items():
            section = name.partition(".")[0]
            if name in _SHORTCUTS:
                instead = _SHORTCUTS[name]
                msg = f"--params {name}={value}: results would mix; write {instead}={value}"
                raise ValueError(msg)
            if section not in (*_DESIGN, *_SECTIONS):
                known = ", ".join((*_DESIGN, "<pipeline>.<parameter>"))
                msg = f"--params {name}={value}: expected one of {known}, got {name}"
                raise ValueError(msg)


class TrackingHook:
    """Opens an MLflow run, logs parameters and the outputs marked `metadata: {mlflow: true}`."""

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Open a run named after experiment and pipeline."""
        project = Path(run_params["project_path"])
        experiment = run_params["env"] or "sample"
        names = run_params["pipeline_names"] or ["study"]
        tags = {
            "experiment": experiment,
            "pipelines": ",".join(names),
            "git_commit": _git_commit(project),
        }
        if tracking.start_run(project, f"{experiment} {'+'.join(names)}", tags) is None:
            return
        wanted = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
        params = {name.removeprefix("params:"): catalog.load(name) for name in wanted}
        tracking.log_params(as_plain(params))
        self._catalog = catalog

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Log an output as an artifact if its catalog entry says so."""
        dataset: Any = self._catalog.get(dataset_name) if hasattr(self, "_catalog") else None
        if dataset is not None and (getattr(dataset, "metadata", None) or {}).get("mlflow"):
            tracking.log_artifact(Path(str(dataset._filepath)))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close the run as finished."""
        tracking.end_run("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close the run as failed."""
        tracking.end_run("FAILED")


class QuarantineHook:
    """Ends a run that left cases out with a warning that counts them and an exit code."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Count what ingestion refused and what failed later.

        Raises:
            click.exceptions.Exit: With code 3, if any case was left out.
        """
        left_out = 0
        for name in sorted(pipeline.outputs() | pipeline.inputs() | pipeline.all_outputs()):
            dataset: Any = catalog.get(name)
            if name == "ingestion_report" and name in pipeline.all_outputs():
                refused = catalog.load(name)
                for row in refused.itertuples():
                    logger.warning("refused: %s: expected %s, found %s; %s", *row[1:2], *row[3:])
                left_out += len(refused)
            elif hasattr(dataset, "failures") and name in pipeline.all_outputs():
                for case, reason in dataset.failures().items():
                    logger.warning("%s: %s failed: %s", name, case, reason)
                    left_out += 1
        if left_out:
            from click.exceptions import Exit

            logger.warning(
                "%d case(s) or model(s) were left out; the reasons stand above", left_out
            )
            raise Exit(CASES_LEFT_OUT)


def _git_commit(project: Path) -> str:
    command = ["git", "-C", str(project), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
