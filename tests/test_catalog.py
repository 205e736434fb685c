import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from kedro.io import DataCatalog, DatasetError

from slicefill.pipelines import comparison, study

from .test_params import ENVIRONMENTS, pipelines

PATHS = ("path", "filepath")


@pytest.fixture
def entries(configuration):
    """Catalog entries of an environment, by name."""

    def load(env, **runtime_params):
        return configuration(env, **runtime_params)["catalog"]

    return load


def written(entries):
    """Folders and files by dataset, but for what is given and what is only in memory."""
    return {
        name: PurePosixPath(next(entry[key] for key in PATHS if key in entry))
        for name, entry in entries.items()
        if name not in ("raw_folder", "paper_tables") and entry["type"] != "MemoryDataset"
    }


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_dataset_of_a_pipeline_is_in_the_catalog(entries, configuration, env):
    """What is not becomes a MemoryDataset without a word: lost, and lazy cases are not lazy."""
    known, parameters = set(entries(env)), configuration(env)["parameters"]
    for pipeline in pipelines().values():
        for name in pipeline.datasets() - {"parameters"}:
            if name.startswith("params:"):
                inner = parameters
                for key in name.removeprefix("params:").split("."):
                    inner = inner[key]
            else:
                assert name in known


def test_every_entry_is_used_by_a_pipeline(entries):
    used = set().union(*(pipeline.datasets() for pipeline in pipelines().values()))
    assert set(entries("base")) == {name for name in used if not name.startswith("param")}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_entry_becomes_a_dataset_of_its_type_at_its_path(entries, env):
    catalog = DataCatalog.from_config(dict(entries(env)))
    for name, entry in entries(env).items():
        dataset = catalog.get(name)
        kind = f"{type(dataset).__module__}.{type(dataset).__name__}"
        assert kind.endswith(f".{entry['type'].rpartition('.')[2]}"), name
        if entry["type"].startswith("slicefill."):
            assert kind == entry["type"]
        if any(entry.get(key) for key in PATHS):
            path = next(entry[key] for key in PATHS if entry.get(key))
            described = {str(value) for value in dataset._describe().values()}
            assert any(one.endswith(path) for one in described), (name, path, described)
        assert getattr(dataset, "metadata", None) == entry.get("metadata")


def test_a_misspelt_key_of_an_entry_is_refused_by_its_name(entries):
    for name, entry in entries("base").items():
        catalog = DataCatalog.from_config({name: {**entry, "pth": "x"}})
        with pytest.raises(DatasetError, match=name):
            catalog.get(name)


def test_no_two_datasets_of_any_experiments_share_a_path(entries):
    paths = [path for env in ENVIRONMENTS for path in written(entries(env)).values()]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("design", [{"factor": 2}, {"axis": "A"}])
def test_another_design_never_mixes_with_results_on_disk(entries, design):
    before, after = written(entries("base")), written(entries("base", **design))
    depends_on_design = study.create_pipeline().from_inputs("params:anisotropization").all_outputs()
    compared = comparison.create_pipeline().from_inputs("params:anisotropization").all_outputs()
    assert depends_on_design
    for name in depends_on_design | compared - {"scans"}:
        assert before[name] != after[name]


def test_another_variant_keeps_the_state_and_history_of_the_last(entries):
    before, after = written(entries("base")), written(entries("base", variant="iia"))
    assert before["synthesis_history"] != after["synthesis_history"]
    for name in ("model_states", "models"):
        assert before[name] == after[name]  # one file per variant in it


def test_presets_share_models_and_predictions_but_no_report(entries):
    before, after = written(entries("base")), written(entries("base", preset="table1"))
    shared = {name for name in before if before[name] == after[name]}
    assert {"imputed_cases", "segmentation_models", "predictions"} <= shared
    told = comparison.create_pipeline().only_nodes_with_tags("evaluation").all_outputs()
    assert told
    assert not shared & (told | {"slice_manifest", "prediction_index", "segmentation_scores"})


def test_nothing_of_a_patient_goes_into_mlflow(entries):
    tracked = {n for n, e in entries("base").items() if (e.get("metadata") or {}).get("mlflow")}
    assert tracked
    assert not tracked & {
        "raw_folder",
        "cases",
        "acquired_cases",
        "imputed_cases",
        "models",
        "predictions",
    }


def test_what_shows_scans_is_marked_as_such(entries):
    marked = {
        n for n, e in entries("base").items() if (e.get("metadata") or {}).get("mlflow") == "images"
    }
    assert marked == {
        "case_figures",
        "figures",
        "report",
        "overlay_figures",
        "comparison_report",
        "fusion_figures",
        "label_audit_figures",
        "label_audit_report",
    }


def test_listing_the_pipelines_imports_nothing_heavy():
    code = """
import sys
from kedro.framework.project import configure_project, pipelines, settings
configure_project("slicefill")
assert {"study", "ingestion", "imputation", "__default__"} <= set(pipelines), list(pipelines)
assert len(settings.HOOKS) == 5
heavy = {"torch", "monai", "mlflow", "matplotlib", "lightning_fabric", "optuna", "plotly"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
