"""`kedro run --env=tiny --pipelines=comparison`: methods added, failed and found again."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

CASE = "virtual-04"  # the one in the test split
RUN = ("run", "--env=tiny", "--pipelines=comparison", "--params", "preset=pair")


BROKEN = """
from slicefill.params.base import Params


def training_fingerprint(data, params, setting):
    return "never made"


def train(data, params, setting, run):
    raise RuntimeError("out of memory, says the engine")


def load(checkpoint, segmentation):
    raise RuntimeError("nothing was trained")
"""
"""An engine of the user's own, which fails in training."""


def configure(project, chosen, **extra):
    """Add the preset `pair` to the environment, as a user does."""
    pair = {"title": "Two", "engine": "unet2d", "methods": chosen, "reference": "none"}
    settings = {"comparison": {"presets": {"pair": pair}, **extra}}
    path = project / "conf" / "tiny" / "parameters_comparison.yml"
    path.write_text(yaml.safe_dump(settings))


def ages(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*.pt")}


@pytest.fixture(scope="module")
def compared(tiny_run, tmp_path_factory, kedro):
    """The project of the finished study with a comparison of two methods in it."""
    project = tmp_path_factory.mktemp("comparison") / "project"
    shutil.copytree(tiny_run[0], project)
    configure(project, ["none", "linear"])
    done = kedro(project, *RUN, SLICEFILL_TRACKING="on")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project, done.stdout + done.stderr


def test_the_table_has_a_row_per_method_and_the_paper_is_not_in_it(compared):
    reporting = compared[0] / "data" / "08_reporting" / "tiny" / "S_x4" / "pair"
    table = pd.read_csv(reporting / "table.csv")
    assert list(table["method"]) == ["no imputation", "linear"]
    assert "not run" not in table.to_string()
    for name in ("table.md", "table.tex", "tests.csv", "history.csv", "report.html"):
        assert (reporting / name).stat().st_size > 0
    assert {p.stem for p in (reporting / "figures").glob("*.png")} == {
        "scores",
        "paired_dice",
        "learning_curves",
    }
    assert (reporting / "overlays" / f"overlay_{CASE}.png").exists()


def test_predictions_lie_on_the_imputed_grid(compared):
    output = compared[0] / "data" / "07_model_output" / "tiny" / "S_x4"
    prediction = nib.load(
        output / "predictions" / "linear" / "unet2d_0" / CASE / "prediction.nii.gz"
    )
    imputed = nib.load(output / "imputed" / "linear" / CASE / "image.nii.gz")
    assert prediction.shape == imputed.shape
    np.testing.assert_array_equal(prediction.affine, imputed.affine)
    assert prediction.get_data_dtype() == np.uint8


def test_the_manifest_names_every_slice_and_copies_none(compared):
    data = compared[0] / "data"
    manifest = pd.read_csv(data / "05_model_input" / "tiny" / "S_x4" / "slices_pair.csv")
    counts = manifest.groupby(["method", "acquired"])["slice"].count()
    assert counts["linear", False] == 3 * (
        counts["linear", True] - 4
    )  # 4 cases, 3 in each interval
    assert counts["none", True] == counts["linear", True]
    assert not list((data / "05_model_input").rglob("*.nii.gz"))


def test_there_is_an_mlflow_run_per_method_under_one_parent(compared):
    client = MlflowClient(f"sqlite:///{compared[0] / 'data' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("slicefill")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if run.info.run_name == "pair · comparison · tiny ×4 S"]
    children = {
        run.info.run_name: run
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id
    }
    assert set(children) == {"none", "linear"}
    for run in children.values():
        assert run.info.status == "FINISHED"
        assert {"unet2d_0/validation/dice", "dice", "detail/dice_mean"} <= set(run.data.metrics)


def test_kedro_has_no_complaint(compared):
    for complaint in ("Could not extract type hints", "is not added to the catalog", "ERROR"):
        assert complaint not in compared[1]


@pytest.mark.slow
def test_a_method_that_is_added_is_all_that_runs_and_one_that_fails_leaves_the_others(
    compared, tmp_path, kedro
):
    project = shutil.copytree(compared[0], tmp_path / "project")
    models = project / "data" / "06_models" / "tiny" / "S_x4" / "segmentation"
    before = ages(models)
    (project / "broken").mkdir()
    (project / "broken" / "engine.py").write_text(BROKEN)
    parameters = project / "conf" / "tiny" / "parameters.yml"
    entry = "  engines:\n    broken: {kind: broken.engine}\n"
    parameters.write_text(parameters.read_text().replace("  engines:\n", entry))
    base = {"title": "", "count": None, "engine": None, "restore_acquired": False}
    base |= {"label_field": None, "transforms": True}
    extra = {"methods": {"broken": {**base, "imputed_by": "linear", "engine": "broken"}}}
    configure(project, ["none", "linear", "edsr", "broken"], **extra)
    done = kedro(project, *RUN)
    assert done.returncode == 3, done.stderr[-3000:]  # finished, not for every method
    assert "out of memory, says the engine" in done.stdout + done.stderr
    after = ages(models)
    assert {name: after[name] for name in before} == before
    assert {name for name in after if name not in before} == {
        "edsr/mean_teacher_0.pt",
        "last/edsr/mean_teacher_0.pt",
    }
    output = project / "data" / "07_model_output" / "tiny" / "S_x4"
    assert not list((output / "imputed" / "edsr").rglob("label.nii.gz"))  # it makes no labels
    reporting = project / "data" / "08_reporting" / "tiny" / "S_x4" / "pair"
    table = pd.read_csv(reporting / "table.csv").set_index("method")
    assert (table.iloc[3] == "not run").all()
    assert not (table.iloc[:3] == "not run").any().any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "scored"), [("between_slices", "acquired"), ("multiplanar", "all")]
)
def test_every_row_of_the_presets_of_engines_runs(preset, scored, tiny_run, tmp_path, kedro):
    project = tmp_path / "project"
    shutil.copytree(tiny_run[0], project)
    done = kedro(project, *RUN[:-1], f"preset={preset},scoring.slices={scored}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    table = pd.read_csv(project / f"data/08_reporting/tiny/S_x4/{preset}/table.csv")
    assert len(table) >= 5
    assert "not run" not in table.to_string()
