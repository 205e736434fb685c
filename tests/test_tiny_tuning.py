"""`kedro run --env=tiny --pipelines=tuning`, and a training that uses what it found."""

import json
import shutil

import pandas as pd
import pytest
from mlflow import MlflowClient

from slicefill.io.checkpoints import read_checkpoint

pytestmark = pytest.mark.server
TRIALS = 3  # conf/tiny


@pytest.fixture(scope="module")
def tuned(tiny_run, tmp_path_factory, kedro):
    """The project of the finished study after tuning."""
    project = tmp_path_factory.mktemp("tuning") / "project"
    shutil.copytree(tiny_run[0], project)
    done = kedro(project, "run", "--env=tiny", "--pipelines=tuning", SLICEFILL_TRACKING="on")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


@pytest.fixture(scope="module")
def best(tuned):
    path = tuned / "data" / "06_models" / "tiny" / "S_x4" / "tuning" / "best_lambdas.json"
    return json.loads(path.read_text())


def client_of(project):
    return MlflowClient(f"sqlite:///{project / 'data' / 'mlflow' / 'mlflow.db'}")


def tracked_runs(project):
    """Runs of the experiment, the latest first."""
    client = client_of(project)
    experiment = client.get_experiment_by_name("slicefill").experiment_id
    return client.search_runs([experiment], order_by=["start_time DESC"])


def test_it_leaves_a_table_figures_and_a_report(tuned, best):
    folder = tuned / "data" / "08_reporting" / "tiny" / "S_x4" / "tuning"
    trials = pd.read_csv(folder / "trials.csv")
    assert len(trials) == TRIALS
    assert trials["psnr"].max() == pytest.approx(best["objectives"]["psnr"])
    for name in ("optimization_history", "slice", "parallel_coordinate", "intermediate_values"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 0
    page = (folder / "report.html").read_text()
    assert best["study"] in page
    assert "data:image/png;base64" in page
    assert "plotly" in (folder / "plots.html").read_text()


def test_every_trial_is_a_nested_run_with_its_learning_curves(tuned):
    client = client_of(tuned)
    trials = {
        r.info.run_name: r for r in tracked_runs(tuned) if r.info.run_name.startswith("trial")
    }
    assert sorted(trials) == [f"trial {n:03d}" for n in range(TRIALS)]
    first = trials["trial 000"]
    assert "mlflow.parentRunId" in first.data.tags
    assert float(first.data.params["weights.warp"]) == 0.1  # preset practical
    for fold in range(3):
        history = client.get_metric_history(first.info.run_id, f"fold_{fold}/validation/psnr")
        assert [one.step for one in history] == [0, 1]


def test_a_second_run_begins_no_trial(tuned, best, kedro):
    done = kedro(tuned, "run", "--env=tiny", "--pipelines=tuning")
    assert done.returncode == 0, done.stderr
    assert f"epoch 1/{1}" not in done.stderr
    trials = tuned / "data" / "08_reporting" / "tiny" / "S_x4" / "tuning" / "trials.csv"
    assert len(pd.read_csv(trials)) == TRIALS


def test_the_preset_tuned_trains_anew_with_what_was_found(tuned, best, kedro):
    path = tuned / "data" / "06_models" / "tiny" / "S_x4" / "slice_imputation.pt"
    before = read_checkpoint(path)["fingerprint"]
    run = ("run", "--env=tiny", "--pipelines=synthesis", "--params=synthesis.preset=tuned")
    done = kedro(tuned, *run, SLICEFILL_TRACKING="on")
    assert done.returncode == 0, done.stderr
    assert best["study"] in (done.stdout + done.stderr).replace("\n", "")
    assert read_checkpoint(path)["fingerprint"] != before
    latest = tracked_runs(tuned)[0].data.params
    for name, value in best["values"].items():
        told = latest[f"synthesis.{name.replace('weights.', 'lambdas.')}"]
        assert float(told) == value


def test_an_unknown_name_stops_the_run_before_any_case_is_read(tuned, kedro):
    space = "tuning: {space: {weights.wrap: {low: 0.1, high: 1.0, log: true}}}\n"
    path = tuned / "conf" / "tiny" / "parameters_tuning.yml"
    path.write_text(space)
    done = kedro(tuned, "run", "--env=tiny", "--pipelines=tuning")
    path.unlink()
    assert done.returncode not in (0, 3)
    assert "'weights.wrap' cannot be tuned" in (done.stdout + done.stderr).replace("\n", "")
