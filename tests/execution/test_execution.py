"""The same work by every executor."""

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import dask
import pytest
from pydantic import ValidationError

from slicefill.execution.each import prepared, run_each
from slicefill.execution.processes import threads_each
from slicefill.params import SERIAL, ExecutorParams
from slicefill.types import Lazy

from ..conftest import ROOT
from .executed import Unreadable, die, note, square

WORKERS = 2
NOBODY = "tcp://127.0.0.1:9"  # no scheduler answers there


def by(kind, **changes):
    return ExecutorParams(
        **{"kind": kind, "workers": WORKERS, "scheduler": None, "attempts": 2, **changes}
    )


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_one_failure_stops_no_other_and_the_order_is_that_of_the_items(kind):
    done, failed = run_each(square, {"c": 3, "a": -1, "b": 2}, by(kind), "square")
    assert list(done.items()) == [("c", ("c", 9)), ("b", ("b", 4))]
    assert failed == {"a": "OneWayError: a is -1"}


def test_a_lost_worker_is_replaced_and_its_item_started_again(tmp_path):
    items = {"a": 1, "once": tmp_path / "flag", "b": 2, "unsent": lambda: 0}
    items["unread"] = Unreadable()
    done, failed = run_each(die, items, by("processes"), "die")
    assert done == dict.fromkeys(["a", "once", "b"], str(threads_each(WORKERS)))
    assert list(failed) == ["unsent", "unread"]
    assert "lambda" in failed["unsent"]
    assert failed["unread"] == "RuntimeError: made on another version"


def test_an_item_that_kills_its_workers_fails_alone():
    done, failed = run_each(die, {"a": 1, "always": None, "b": 2}, by("processes"), "die")
    assert list(done) == ["a", "b"]
    assert "2" in failed["always"]  # how often it was tried


def test_serial_work_is_done_here_and_needs_no_pickle():
    assert run_each(lambda _, make: make(), {"a": os.getpid}, SERIAL, "") == (
        {"a": os.getpid()},
        {},
    )


@pytest.mark.parametrize("executor", [by("serial"), by("processes"), by("dask", scheduler=NOBODY)])
def test_nothing_to_do_starts_no_worker(executor):
    started = time.monotonic()
    assert run_each(square, {}, executor, "") == ({}, {})
    assert time.monotonic() - started < 1


def test_workers_together_have_no_more_threads_than_cores():
    cores = threads_each(1)
    assert all(workers * threads_each(workers) <= cores for workers in range(1, cores + 1))
    assert threads_each(1000) == 1


INTERRUPTED = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from slicefill.execution.each import run_each
from slicefill.params import ExecutorParams
def sleep(name, folder):
    Path(folder, name).write_text(str(os.getpid()))
    time.sleep(600)
if __name__ == "__main__":
    executor = ExecutorParams(kind="processes", workers=2, scheduler=None, attempts=3)
    run_each(sleep, dict.fromkeys("ab", sys.argv[1]), executor, "sleep")
"""


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc who is running")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_run(how, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment) as run:
        pids = [tmp_path / name for name in "ab"]
        try:
            assert wait_until(lambda: all(p.exists() and p.read_text() for p in pids))
            run.send_signal(how)
            run.wait(60)
        finally:
            run.kill()
    assert wait_until(lambda: not any(running(p.read_text()) for p in pids), 20)


def test_a_scheduler_that_does_not_answer_is_told_with_what_to_do():
    nobody = by("dask", scheduler=NOBODY)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "500ms"}),
        pytest.raises(ConnectionError, match=r"no Dask scheduler answers at tcp.*kind=processes"),
    ):
        run_each(square, {"a": 1}, nobody, "")


def test_dask_without_a_scheduler_is_refused():
    with pytest.raises(ValidationError, match=r"the address of a Dask scheduler .*processes"):
        by("dask")


@pytest.mark.server
def test_the_workers_of_a_scheduler_do_the_work_and_one_that_is_lost_is_replaced(tmp_path):
    from distributed import LocalCluster

    items = {"a": 1, "once": tmp_path / "flag", "always": None, "unsent": lambda: 0}
    items["unread"] = Unreadable()
    settings = {"allowed-failures": 1, "worker-saturation": 1.0}  # 1.0: else a neighbour is suspect
    with (
        dask.config.set({f"distributed.scheduler.{key}": value for key, value in settings.items()}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        elsewhere = by("dask", scheduler=cluster.scheduler_address)
        squares = run_each(square, {"a": 3, "b": -2}, elsewhere, "square")
        done, failed = run_each(die, items, elsewhere, "die")
    assert squares == ({"a": ("a", 9)}, {"b": "OneWayError: b is -2"})
    assert list(done) == ["a", "once"]
    assert list(failed) == ["always", "unsent", "unread"]
    assert "lambda" in failed["unsent"]


def test_what_many_cases_need_is_made_once_in_a_process(tmp_path):
    made = tmp_path / "made"
    promise = Lazy(partial(note, made), "mark")
    copies = [pickle.loads(pickle.dumps(promise)) for _ in range(3)]
    assert [prepared(copy) for copy in copies] == ["ready"] * 3
    assert made.read_text() == "x"
    assert prepared(Lazy(lambda: "other", "another mark")) == "other"
