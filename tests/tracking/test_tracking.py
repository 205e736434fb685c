import json
import pickle
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from mlflow import MlflowClient
from pandas import DataFrame

from slicefill import tracking
from slicefill.tracking import calls, channel, runs

POINT = [["loss", 0.5, 1, 3]]  # name, value, time, step


def test_switched_off_it_leaves_no_trace(untracked, tmp_path, monkeypatch):
    monkeypatch.setenv("SLICEFILL_TRACKING", "off")
    assert tracking.start_run(tmp_path, "name", {}) is None
    tracking.log_params({"a": 1})
    tracking.log_metrics({"a": 1.0}, 1)
    tracking.log_artifact(tmp_path / "nothing")
    tracking.log_environment()
    tracking.log_inputs("tiny", DataFrame(), DataFrame())
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
    assert info.data.tags["dataset"] == "tiny"
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
        tracking.log_params({"impute": "linear"})
        assert statuses(children(run)) == {"linear": "RUNNING"}
    tracking.log_metrics({"mean": 1.0})
    assert client.get_run(run).data.metrics == {"mean": 1.0}
    assert client.get_run(run).data.params == {}
    child = children(run)["linear"]
    assert child.data.metrics == {"dice": 0.5}
    assert child.data.params == {"impute": "linear"}


def test_a_child_is_found_by_the_tags_of_its_parent_and_its_own_method(start, children):
    run, _ = start()
    with tracking.child_run("linear"):
        pass
    tags = children(run)["linear"].data.tags
    assert (tags["dataset"], tags["method"]) == ("tiny", "linear")


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


def test_characters_that_mlflow_refuses_are_replaced_as_in_names_of_labels(start):
    run, client = start()
    tracking.log_metrics({"detail/dice_edema (T2)/left+right": 0.5})
    assert client.get_run(run).data.metrics == {"detail/dice_edema _T2_/left_right": 0.5}


def test_a_file_that_is_not_there_is_an_error(start, tmp_path):
    start()
    with pytest.raises(FileNotFoundError, match="nothing"):
        tracking.log_artifact(tmp_path / "nothing")


def test_a_process_that_was_killed_while_it_kept_something_loses_that_line_only(start, tmp_path):
    run, client = start()
    way = runs.current_run().channel
    way._keep({"verb": "metrics", "run": runs.current_run().key, "content": {"metrics": POINT}})
    with way.outbox.open("a") as file:
        file.write('{"verb": "metr')
    tracking.log_metrics({"dice": 1.0})
    assert client.get_run(run).data.metrics == {"loss": 0.5, "dice": 1.0}
    assert not way.outbox.exists()


def test_what_was_sent_twice_counts_once(start):
    run, client = start()
    key = runs.current_run().key
    create = {"name": "x", "tags": {}, "time": 1, "parent": None, "location": None}
    for verb, content in (("create", create), ("metrics", {"metrics": POINT})) * 2:
        calls.perform(client, {"verb": verb, "run": key, "content": content})
    assert len(client.get_metric_history(run, "loss")) == 1


def test_a_run_that_was_deleted_does_not_end_the_training(start, caplog):
    start()
    current = runs.current_run()
    calls._ids.clear()
    runs.TrackedRun(current.channel, "no such key", {}).send("metrics", metrics=POINT)
    assert "no longer has the run" in caplog.text


def test_an_artifact_that_is_gone_does_not_hold_up_what_waits_behind_it(start, tmp_path, caplog):
    run, client = start()
    current = runs.current_run()
    for verb, content in (
        ("artifact", {"path": str(tmp_path / "gone"), "folder": None}),
        ("metrics", {"metrics": POINT}),
    ):
        call = {"verb": verb, "run": current.key, "content": content}
        current.channel.outbox.open("a").write(json.dumps(call) + "\n")
    assert current.channel.deliver()
    assert "artifact is lost" in caplog.text
    assert client.get_run(run).data.metrics == {"loss": 0.5}


def test_an_experiment_that_another_run_makes_first_is_taken(start):
    class Late(MlflowClient):
        """Looks for the experiment just before another run makes it."""

        looked = False

        def get_experiment_by_name(self, name):
            found = super().get_experiment_by_name(name) if self.looked else None
            self.looked = True
            return found

    _, client = start()
    number = client.get_experiment_by_name(calls.EXPERIMENT).experiment_id
    assert calls._experiment(Late(client.tracking_uri), None) == number


def test_a_run_that_is_interrupted_is_closed(untracked, store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    code = (
        "import pathlib, sys; from slicefill import tracking;"
        "print(tracking.start_run(pathlib.Path(sys.argv[1]), 'stopped', {}));"
        "raise KeyboardInterrupt"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "KeyboardInterrupt" in done.stderr
    assert MlflowClient(store).get_run(done.stdout.split()[-1]).info.status == "KILLED"


KILLED = """
import os, pathlib, signal, sys
from slicefill import tracking

print(tracking.start_run(pathlib.Path(sys.argv[1]), "killed", {}), flush=True)
with tracking.child_run("nested"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_whose_process_was_killed_is_closed_by_the_next_one(start, tmp_path, caplog):
    living, client = start()
    tracking.log_metrics({"loss": 0.5})
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    killed = done.stdout.strip()
    assert client.get_run(killed).info.status == "RUNNING"  # nobody could say more

    another, _ = start()
    runs_of = {run.info.run_name: run for run in all_runs(client).values()}
    assert runs_of["killed"].info.status == runs_of["nested"].info.status == "KILLED"
    assert "process was killed" in client.get_run(killed).data.tags["slicefill.killed"]
    assert "an earlier run was killed" in caplog.text
    assert {client.get_run(run).info.status for run in (living, another)} == {"RUNNING"}
    tracking.end_run("FINISHED")
    assert client.get_run(living).info.status == "FINISHED"
    assert not list((tmp_path / "data/mlflow").glob("open_*/*"))


def test_no_password_is_written_down(tmp_path):
    way = channel.Channel("https://user:secret@host.org:5000/mlflow", tmp_path)
    assert way.outbox.name.startswith("outbox_host_org_5000_")
    assert way.outbox == channel.Channel("https://host.org:5000/mlflow", tmp_path).outbox


def test_servers_of_one_host_do_not_share_what_waits(tmp_path):
    one, other = (channel.Channel(f"https://host.org/{name}", tmp_path) for name in "ab")
    assert one.outbox != other.outbox


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False])
def test_load_and_memory_of_the_machine_are_metrics_if_asked_for(start, monkeypatch, asked):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", str(asked).lower())
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")  # seconds
    run, client = start()
    deadline = time.monotonic() + (60 if asked else 1)
    while time.monotonic() < deadline and not client.get_run(run).data.metrics:
        time.sleep(0.1)
    tracking.end_run("FINISHED")
    found = "system/cpu_utilization_percentage" in client.get_run(run).data.metrics
    assert found == asked


@pytest.fixture
def held(start, tmp_path):
    """A run that is held back, with a parameter, a file that is gone since, and a nested run."""
    _, client = start(hold=True)
    tracking.log_params({"a": 1})
    file = tmp_path / "scores.csv"
    file.write_text("content")
    tracking.log_artifact(file)
    file.unlink()
    with tracking.child_run("nested"):
        tracking.log_metrics({"dice": 0.5})
    return client


def all_runs(client):
    experiment = client.get_experiment_by_name("slicefill")
    return (
        {}
        if experiment is None
        else {one.info.run_id: one for one in client.search_runs([experiment.experiment_id])}
    )


@pytest.mark.parametrize("status", ["FINISHED", "KILLED"])
def test_a_run_that_makes_nothing_leaves_no_trace(held, status):
    before = set(all_runs(held))
    assert tracking.tell_store() == "no run: nothing was made anew"
    tracking.end_run(status)
    assert set(all_runs(held)) == before


@pytest.mark.parametrize("make", [tracking.made, tracking.reporter, lambda: None])
def test_what_was_held_back_is_there_once_something_is_made_or_fails(held, make):
    before = set(all_runs(held))
    make()
    status = "FAILED" if make.__name__ == "<lambda>" else "FINISHED"
    tracking.end_run(status)
    new = {one.info.run_name: one for key, one in all_runs(held).items() if key not in before}
    assert set(new) == {"tiny study", "nested"}
    assert {one.info.status for one in new.values()} == {status}
    run = new["tiny study"]
    assert run.data.params == {"a": "1"}
    assert new["nested"].data.metrics == {"dice": 0.5}
    copy = held.download_artifacts(run.info.run_id, "scores.csv")
    assert Path(copy).read_text() == "content"


def test_a_run_says_where_its_trainings_are_seen(start):
    _, client = start()
    number = client.get_experiment_by_name("slicefill").experiment_id
    page = f"/#/experiments/{number}?workflowType=machine_learning"
    assert tracking.tell_store() == f"make mlflow, then http://127.0.0.1:5000{page}"
    tracking.end_run("FINISHED")
    assert tracking.tell_store() == ""
