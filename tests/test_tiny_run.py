"""`kedro run --env=tiny` as a user runs it: the whole study in a process of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from slicefill.command_line import main

from .conftest import ROOT

METHODS = ["nearest", "linear", "cubic", "shape_based", "shape_matched", "slice_imputation"]
CASE = "virtual-04"  # the one in the test split


@pytest.fixture(scope="module")
def data(tiny_run):
    return tiny_run[0] / "data"


@pytest.fixture
def rerun(tiny_run, tmp_path):
    """A copy of the finished project, to run in again."""
    return shutil.copytree(tiny_run[0], tmp_path / "project")


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def ages(folder):
    return {p.relative_to(folder): p.stat().st_mtime_ns for p in folder.rglob("*.nii.gz")}


def test_every_pipeline_leaves_its_result(data):
    reporting = data / "08_reporting" / "tiny"
    for path in (
        data / "02_intermediate" / "tiny" / "splits.csv",
        data / "06_models" / "tiny" / "S_x4" / "slice_imputation.pt",
        reporting / "ingestion_report.csv",
        reporting / "S_x4" / "history_slice_imputation.csv",
        reporting / "S_x4" / "evaluation_table.md",
        reporting / "S_x4" / "figures" / "scores.png",
    ):
        assert path.stat().st_size > 0
    page = (reporting / "S_x4" / "report.html").read_text()
    assert "data:image/png;base64" in page
    assert "slice_imputation" in page


def test_every_method_imputes_the_test_case(data):
    imputed = data / "07_model_output" / "tiny" / "S_x4" / "imputed"
    assert {p.parent.relative_to(imputed).as_posix() for p in imputed.rglob("image.nii.gz")} == {
        f"{method}/{CASE}" for method in METHODS
    }
    for method in METHODS:
        image = nib.load(imputed / method / CASE / "image.nii.gz")
        assert image.shape == (40, 48, 33)  # 36 slices: 0, 4 … 32 are kept, three between
        np.testing.assert_allclose(image.header.get_zooms(), 1)


def test_every_imputed_case_is_verified(data):
    table = pd.read_csv(data / "08_reporting" / "tiny" / "S_x4" / "verification.csv")
    assert sorted(table["method"]) == sorted(METHODS)
    assert table["passed"].all()


def test_the_command_line_verifies_against_the_thick_cases_too(data, capsys):
    imputed = data / "07_model_output" / "tiny" / "S_x4" / "imputed"
    acquired_case = data / "03_primary" / "tiny" / "S_x4" / "acquired"
    assert main(["verify", str(imputed), "--against", str(acquired_case)]) == 0
    assert str(len(METHODS)) in capsys.readouterr().out


def test_acquired_slices_of_the_output_are_those_of_the_raw_file(data):
    raw = nib.load(data / "01_raw" / "tiny" / "images" / f"{CASE}.nii.gz")
    stored = np.asarray(raw.dataobj)
    for method in METHODS:
        folder = data / "07_model_output" / "tiny" / "S_x4" / "imputed" / method / CASE
        image = nib.load(folder / "image.nii.gz")
        kept = np.asarray(image.dataobj)[..., ::4]
        assert kept.tobytes() == stored[..., ::4].tobytes()
        np.testing.assert_allclose(image.affine, raw.affine, atol=1e-4)


def test_every_method_is_scored_per_case(data):
    scores = pd.read_csv(data / "08_reporting" / "tiny" / "S_x4" / "scores.csv")
    assert sorted(scores["method"]) == sorted(METHODS)
    assert set(scores["case"]) == {CASE}
    assert scores["psnr_body"].between(5, 60).all()


def test_the_run_is_in_mlflow(data):
    client = MlflowClient(f"sqlite:///{data / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("slicefill")
    (run,) = client.search_runs([experiment.experiment_id])
    assert {"psnr", "ssim", "dice", "volume_bias"} == {n for n in run.data.metrics if "/" not in n}
    assert "detail/psnr_body/cubic" in run.data.metrics
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "slice_imputation · study · tiny ×4 S"
    tags = {"dataset": "tiny", "axis": "S", "factor": "4", "seed": "0", "stage": "study"}
    assert tags.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.source.name"] == "kedro run --env=tiny"
    inputs = {one.tags[0].value: one.dataset.name for one in run.inputs.dataset_inputs}
    assert inputs == dict.fromkeys(("training", "validation", "test"), "tiny")
    assert run.data.params["synthesis.network.width"] == "4"
    assert run.data.params["imputation.count"] == "N_A"
    for metric in ("train/raw/rec", "train/weighted/rec", "validation/psnr"):
        steps = [one.step for one in client.get_metric_history(run.info.run_id, metric)]
        assert steps[-2:] == [1, 2]  # epochs
    artifacts = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert {"scores.csv", "report.html", "figures", "verification.csv"} <= artifacts
    assert {"manifest.csv", "environment"} <= artifacts
    (model,) = client.search_model_versions("name = 'tiny_S_x4-slice_imputation'")
    assert model.run_id == run.info.run_id


def test_the_run_says_last_what_it_made_and_where(tiny_run):
    """Within a screen: a line per step, and 15 at the end."""
    folder, said = tiny_run
    summary = said[said.index("── study · tiny · ") :].partition("\n\n")[0]  # before stderr
    assert len(summary.strip().splitlines()) <= 15
    imputed = folder / "data" / "07_model_output" / "tiny" / "S_x4" / "imputed"
    for words in (
        "6 volumes, new: 1 case by nearest, linear",
        str(imputed),
        "6 of 6 keep every acquired slice",
        "slice_imputation: PSNR ",
        (folder / "data" / "08_reporting" / "tiny" / "S_x4" / "report.html").as_uri(),
    ):
        assert words in summary
    assert summary.count("Imputed") == 1
    for noise in ("Loading data", "Saving data", "is deprecated", "DeprecationWarning"):
        assert noise not in said
    assert said.partition("checking:")[0].count("\n") < 40


def test_kedro_has_no_complaint(tiny_run):
    said = tiny_run[1]
    for complaint in ("Could not extract type hints", "is not added to the catalog", "ERROR"):
        assert complaint not in said


def test_a_second_run_makes_no_case_and_no_epoch_again(rerun, kedro):
    before = ages(rerun / "data")
    done = kedro(rerun, "run", "--env=tiny", "--to-outputs=verification")
    assert done.returncode == 0, done.stderr
    assert (
        "the model on disk has the same data and parameters; it is kept"
        in done.stdout + done.stderr
    )
    assert before
    assert ages(rerun / "data") == before


@pytest.mark.slow
def test_a_second_run_scores_nothing_anew_and_is_not_tracked(rerun, kedro):
    def scored():
        folder = rerun / "data" / "08_reporting" / "tiny" / "S_x4" / "evaluated"
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.is_file()}

    def tracked():
        client = MlflowClient(f"sqlite:///{rerun / 'data' / 'mlflow' / 'mlflow.db'}")
        number = client.get_experiment_by_name("slicefill").experiment_id
        return [run.info.run_id for run in client.search_runs([number])]

    results = {path: at for path, at in scored().items() if path.parent.name == CASE}
    before = tracked()
    done = kedro(rerun, "run", "--env=tiny", SLICEFILL_TRACKING="on")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path for path in results if path.suffix == ".png"}
    assert results.items() <= scored().items()
    assert tracked() == before
    assert "6 volumes, there already" in done.stdout
    assert "no run: nothing was made anew" in done.stdout
    assert done.stdout.count("\n") < 40


@pytest.mark.server
def test_a_run_that_is_ended_from_outside_is_closed_as_killed(rerun):
    """As a scheduler ends it, in the middle of a training."""
    long = "--params=synthesis.optimisation.epochs=500,synthesis.optimisation.patience=500"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "SLICEFILL_TRACKING": "on"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    state = rerun / "data" / "06_models" / "tiny" / "S_x4" / "last" / "slice_imputation.pt"
    state.unlink(missing_ok=True)
    command = [sys.executable, "-m", "kedro", "run", "--env=tiny", "--pipelines=synthesis", long]
    with subprocess.Popen(command, cwd=rerun, env=environment, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 120
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert run.poll() is None
        run.terminate()
        assert run.wait(60) == 128 + signal.SIGTERM
    client = MlflowClient(f"sqlite:///{rerun / 'data' / 'mlflow' / 'mlflow.db'}")
    number = client.get_experiment_by_name("slicefill").experiment_id
    newest, *_ = client.search_runs([number], order_by=["start_time DESC"])
    assert "epochs=500" in newest.info.run_name
    assert newest.info.status == "KILLED"


@pytest.mark.slow
def test_only_missing_outputs_runs_what_is_missing(rerun, kedro):
    """Two of six methods are gone: those are imputed, nothing is trained."""
    imputed = rerun / "data" / "07_model_output" / "tiny" / "S_x4" / "imputed"
    before, made = contents(imputed), ages(imputed)
    (imputed / "_COMPLETE").unlink()
    for method in ("cubic", "slice_imputation"):
        shutil.rmtree(imputed / method)
    done = kedro(rerun, "run", "--env=tiny", "--only-missing-outputs")
    assert done.returncode == 0, done.stderr
    assert "synthesis.train_models" not in done.stdout + done.stderr
    assert contents(imputed) == before
    redone = {path.parts[0] for path, at in ages(imputed).items() if at != made[path]}
    assert redone == {"cubic", "slice_imputation"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("synthesis.optimisation.lr=5", "Extra inputs are not permitted"),
        ("synthesis.optimisation.learning_rate=-1", "greater than 0"),
        ("synthesis.preset=none_such", "'none_such' is not defined"),
    ],
)
def test_wrong_parameters_stop_the_run_before_any_node(project, kedro, params, said):
    done = kedro(project, "run", "--env=tiny", f"--params={params}")
    assert done.returncode not in (0, 3)
    assert said in done.stdout + done.stderr
    assert "ingestion.check_raw_cases" not in done.stdout + done.stderr
    assert not (project / "data").exists()
