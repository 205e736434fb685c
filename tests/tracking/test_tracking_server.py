"""A real server that is not there, goes away and comes back."""

import json
import logging
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from slicefill import tracking
from slicefill.tracking import calls, channel, runs

from ..mlflow_server import free_port, tracking_server

TAGS = {"dataset": "tiny"}
pytestmark = pytest.mark.server


@pytest.fixture
def port(monkeypatch):
    """The address of a server that is not there yet, and nothing left of another test."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    monkeypatch.delenv("SLICEFILL_TRACKING", raising=False)
    for state in (runs._open, runs._children, runs._failed, calls._ids, channel._next_try):
        state.clear()
    yield port
    runs._open.clear()  # nothing is left to close when the interpreter ends


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("as it was")
    return path


def the_run(address, name):
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("slicefill")
    found = client.search_runs([experiment.experiment_id])
    (run,) = [run for run in found if run.info.run_name == name]
    return client, run


def steps(client, run, metric):
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, metric)]


def outbox(project):
    return list((project / "data" / "mlflow").glob("outbox*.jsonl"))


def warnings(caplog):
    return [one for one in caplog.records if one.levelno == logging.WARNING]


def test_a_run_survives_a_server_that_goes_away_and_comes_back(port, tmp_path, report, caplog):
    server, project = tmp_path / "server", tmp_path / "project"
    server.mkdir()
    with tracking_server(server, port):
        tracking.start_run(project, "training", TAGS)
        tracking.log_metrics({"loss": 3.0}, 1)
    start = time.monotonic()
    for epoch in (2, 3, 4):
        tracking.log_metrics({"loss": 3.0 / epoch}, epoch)
    with tracking.child_run("linear"):
        tracking.log_metrics({"dice": 0.5})
    tracking.log_artifact(report)
    assert time.monotonic() - start < 10  # seconds; MLflow alone waits for minutes
    (warning,) = warnings(caplog)
    assert "the run goes on" in warning.message
    assert str(outbox(project)[0]) in warning.message
    report.write_text("changed by a later run")
    with tracking_server(server, port) as address:
        tracking.end_run("FINISHED")
        client, run = the_run(address, "training")
        assert steps(client, run, "loss") == [(1, 3.0), (2, 1.5), (3, 1.0), (4, 0.75)]
        assert run.info.status == "FINISHED"
        child = the_run(address, "linear")[1]
        assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
        assert child.data.metrics == {"dice": 0.5}
        copy = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
        assert Path(copy).read_text() == "as it was"
    assert not outbox(project)
    assert not list((project / "data" / "mlflow" / "outbox_files").iterdir())


def test_a_server_that_was_never_there_gets_the_whole_run_from_the_next_one(port, tmp_path, caplog):
    project = tmp_path / "project"
    assert tracking.start_run(project, "first", TAGS) is not None
    tracking.log_params({"width": 4})
    report = tracking.reporter("fold/")
    report({"loss": 0.5}, 1)
    tracking.end_run("FINISHED")
    said = [one.message for one in warnings(caplog)]
    assert len(said) == 2
    assert "is sent when the next run of this project starts" in said[1]
    (kept,) = outbox(project)
    verbs = [json.loads(line)["verb"] for line in kept.read_text().splitlines()]
    assert verbs == ["create", "params", "metrics", "end"]
    (tmp_path / "server").mkdir()
    with tracking_server(tmp_path / "server", port) as address:
        tracking.start_run(project, "second", TAGS)
        client, run = the_run(address, "first")
        assert run.data.params == {"width": "4"}
        assert steps(client, run, "fold/loss") == [(1, 0.5)]
        assert run.info.status == "FINISHED"
        assert (
            run.info.start_time <= run.info.end_time < the_run(address, "second")[1].info.start_time
        )
        tracking.end_run("FINISHED")
    assert not outbox(project)
