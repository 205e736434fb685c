import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from slicefill import tracking


@pytest.fixture
def untracked(monkeypatch):
    """No store and no run but the test's own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SLICEFILL_TRACKING", raising=False)
    monkeypatch.setattr(tracking, "_current", [])
    monkeypatch.setattr(tracking, "_children", {})


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
    tracking.reporter("a/")({"a": 1.0}, 1)
    with tracking.child_run("child"):
        tracking.log_metrics({"a": 1.0}, 1)
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


@pytest.fixture
def children(store):
    """Nested runs of a run by name."""

    def find(run):
        client = MlflowClient(store)
        experiment = client.get_run(run).info.experiment_id
        nested = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'")
        assert len({one.info.run_name for one in nested}) == len(nested)
        return {one.info.run_name: one for one in nested}

    return find


def statuses(runs):
    return {name: run.info.status for name, run in runs.items()}


def test_what_is_logged_in_a_child_goes_to_it_and_not_to_its_parent(start, children):
    run, client = start()
    with tracking.child_run("linear"):
        tracking.log_metrics({"dice": 0.5})
        tracking.log_params({"fill": "linear"})
        assert statuses(children(run)) == {"linear": "RUNNING"}
    tracking.log_metrics({"mean": 1.0})
    assert client.get_run(run).data.metrics == {"mean": 1.0}
    assert client.get_run(run).data.params == {}
    child = children(run)["linear"]
    assert child.data.metrics == {"dice": 0.5}
    assert child.data.params == {"fill": "linear"}


def test_the_same_name_opens_the_same_child_again(start, children):
    run, _ = start()
    for name, metric in (("linear", "psnr"), ("iia", "psnr"), ("linear", "dice")):
        with tracking.child_run(name):
            tracking.log_metrics({metric: 1.0})
    found = children(run)
    assert {name: set(one.data.metrics) for name, one in found.items()} == {
        "linear": {"psnr", "dice"},
        "iia": {"psnr"},
    }


def test_another_run_has_children_of_its_own(start, children):
    first, _ = start()
    with tracking.child_run("linear"):
        pass
    tracking.end_run("FINISHED")
    second, _ = start()
    with tracking.child_run("linear"):
        pass
    assert children(first)["linear"].info.run_id != children(second)["linear"].info.run_id


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_children_end_with_their_parent_but_for_those_that_failed(start, children, status):
    run, client = start()
    with pytest.raises(ValueError, match="no luck"), tracking.child_run("broken"):
        raise ValueError("no luck")
    assert statuses(children(run)) == {"broken": "FAILED"}
    with tracking.child_run("broken"):  # another pipeline goes on with it
        tracking.log_metrics({"late": 1.0})
    with tracking.child_run("linear"), tracking.child_run("inner"):
        pass
    inner = children(children(run)["linear"].info.run_id)["inner"].info.run_id
    tracking.end_run(status)
    assert statuses(children(run)) == {"broken": "FAILED", "linear": status}
    assert client.get_run(run).info.status == client.get_run(inner).info.status == status


def test_a_parent_that_ends_inside_a_child_ends_both(start, children):
    run, client = start()
    with tracking.child_run("linear"):
        tracking.end_run("FAILED")
    assert statuses(children(run)) == {"linear": "FAILED"}
    assert client.get_run(run).info.status == "FAILED"


def test_a_reporter_logs_to_the_run_that_was_open_when_it_was_made(start, children):
    run, client = start()
    with tracking.child_run("linear"):
        report = tracking.reporter("unet2d_0/")
    report({"loss": 0.25}, 3)
    child = children(run)["linear"].info.run_id
    (point,) = client.get_metric_history(child, "unet2d_0/loss")
    assert (point.step, point.value) == (3, 0.25)
    assert client.get_run(run).data.metrics == {}


def test_a_reporter_works_in_a_spawned_process(start):
    run, client = start()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(tracking.reporter("fold_1/"), {"loss": 0.25}, 3).result()
    (point,) = client.get_metric_history(run, "fold_1/loss")
    assert (point.step, point.value) == (3, 0.25)


def test_a_reporter_that_logs_nothing_can_be_pickled_too(untracked):
    assert pickle.loads(pickle.dumps(tracking.reporter()))({"loss": 1.0}, 1) is None


def test_a_name_that_mlflow_refuses_is_an_error_and_not_changed(start):
    start()
    with pytest.raises(MlflowException, match=r"loss\*"):
        tracking.log_metrics({"loss*": 1.0})
