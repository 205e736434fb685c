from pathlib import Path

import pytest
from mlflow import MlflowClient

from slicefill import tracking


@pytest.fixture
def untracked(monkeypatch):
    """No store and no run but the test's own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SLICEFILL_TRACKING", raising=False)
    monkeypatch.setattr(tracking, "_current", [])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The address of a store that is set up once: that takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture
def start(untracked, store, tmp_path, monkeypatch):
    """Start a run; what is logged can be asked of the client that comes with it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def start_run():
        run = tracking.start_run(tmp_path, "tiny study", {"experiment": "tiny"})
        return run, MlflowClient(store)

    return start_run


def test_switched_off_it_leaves_no_trace(untracked, tmp_path, monkeypatch):
    monkeypatch.setenv("SLICEFILL_TRACKING", "off")
    assert tracking.start_run(tmp_path, "name", {}) is None
    tracking.log_params({"a": 1})
    tracking.log_metrics({"a": 1.0}, 1)
    tracking.log_artifact(tmp_path / "nothing")
    tracking.end_run("FINISHED")
    assert not list(tmp_path.iterdir())


def test_without_a_run_logging_does_nothing(untracked, tmp_path):
    tracking.log_metrics({"a": 1.0})
    assert not list(tmp_path.iterdir())


def test_a_run_has_a_name_tags_and_an_end(start):
    run, client = start()
    tracking.end_run("FINISHED")
    info = client.get_run(run)
    assert info.info.run_name == "tiny study"
    assert info.data.tags["experiment"] == "tiny"
    assert info.info.status == "FINISHED"
    tracking.log_metrics({"late": 1.0})  # the run is closed
    assert client.get_run(run).data.metrics == {}


def test_nested_parameters_have_dotted_names(start):
    run, client = start()
    many = {f"p{n}": n for n in range(230)}  # more than MLflow takes at a time
    tracking.log_params({"synthesis": {"network": {"width": 4}, "long": "x" * 9000}, **many})
    params = client.get_run(run).data.params
    assert params["synthesis.network.width"] == "4"
    assert set(params["synthesis.long"]) == {"x"}
    assert all(params[f"p{n}"] == str(n) for n in range(230))


def test_metrics_keep_their_steps(start):
    run, client = start()
    for epoch in (1, 2):
        tracking.log_metrics({"train/raw/rec": 1 / epoch}, epoch)
    history = client.get_metric_history(run, "train/raw/rec")
    assert [(one.step, one.value) for one in history] == [(1, 1.0), (2, 0.5)]


def test_files_and_folders_are_copied_into_the_run(start, tmp_path):
    run, client = start()
    (tmp_path / "figures").mkdir()
    for path in (tmp_path / "scores.csv", tmp_path / "figures" / "a.png"):
        path.write_bytes(b"content")
        tracking.log_artifact(path.parent if path.parent != tmp_path else path)
    assert {one.path for one in client.list_artifacts(run)} == {"scores.csv", "figures"}
    copy = client.download_artifacts(run, "figures/a.png")
    assert Path(copy).read_bytes() == b"content"
