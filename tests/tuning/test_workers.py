"""Workers in processes of their own, killed in mid-trial: by a journal, and by PostgreSQL."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from slicefill.params import TuningParams
from slicefill.tuning.study import make_storage
from slicefill.tuning.trial import WORKER as NAME_OF_WORKER
from slicefill.tuning.trial import retry_lost

ROOT = Path(__file__).parents[2]
# A worker whose trainings only take time; from the call `hang` on it waits to be killed.
WORKER = """
import json, sys, time
from contextlib import contextmanager
from pathlib import Path
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.params import TuningParams
from slicefill.tuning import trial as module
from slicefill.tuning.study import open_study, search

folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
calls = []

def train_on(training_set, params, run, own):
    calls.append(params)
    if len(calls) == asked["hang"]:
        (folder / "hanging").touch()
        time.sleep(600)
    time.sleep(asked["seconds"])
    run.report({"validation/psnr": 20.0}, 0)
    return {"validation": {"psnr": 20 + params.lambdas["warp"], "ssim": 0.5}}

@contextmanager
def watch(number, values):
    yield lambda prefix: lambda metrics, step: None

module.train_on = train_on
params = SynthesisParams.model_validate_json((folder / "synthesis.json").read_text())
tuning = TuningParams.model_validate({**json.loads((folder / "tuning.json").read_text())})
validation = module.CrossValidation([None], [None], params, tuning, module.TrialScorer(*[None] * 5))
search(open_study(str(folder / "journal.log"), "tried", validation), validation, watch)
"""


@pytest.fixture
def start(tmp_path, params, tuning):
    """Start a worker; what still runs at the end is killed."""
    (tmp_path / "synthesis.json").write_text(params.model_dump_json())
    running = []

    def begin(hang=0, seconds=0.05, storage=None, **changes):
        plain = tuning(**changes).model_dump(mode="json") | {"storage": storage}
        (tmp_path / "tuning.json").write_text(json.dumps(plain))
        asked = json.dumps({"hang": hang, "seconds": seconds})
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), asked],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def kill_in_mid_trial(process, folder):
    wait_for(lambda: (folder / "hanging").exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.wait()


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def finish(process):
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said


def load(folder, tuning):
    return optuna.load_study(
        study_name="tried", storage=make_storage(str(folder / "journal.log"), tuning)
    )


def of_state(study, state):
    return {t.number: t for t in study.get_trials() if t.state == state}


def check_nothing_is_lost(study, kept, trials):
    completed = of_state(study, TrialState.COMPLETE)
    for number, trial in kept.items():
        assert completed[number].params == trial.params
        assert completed[number].value == trial.value
    ((_, lost),) = of_state(study, TrialState.FAIL).items()
    again = [t for t in completed.values() if t.system_attrs.get("failed_trial") == lost.number]
    assert [t.params for t in again] == [lost.params]
    assert len(completed) == trials
    assert not of_state(study, TrialState.RUNNING)


@pytest.mark.slow
def test_a_journal_keeps_finished_trials_and_the_killed_one_is_tried_again(start, tmp_path, tuning):
    kill_in_mid_trial(start(hang=3, trials=5), tmp_path)
    kept = of_state(load(tmp_path, tuning()), TrialState.COMPLETE)
    assert len(kept) == 2
    finish(start(trials=5))
    check_nothing_is_lost(load(tmp_path, tuning()), kept, 5)


def test_a_trial_that_is_tried_again_is_not_taken_for_lost_by_the_next_worker():
    """Between its start and the name that its new worker writes into it, another one looks."""
    study = optuna.create_study()
    lost = study.ask()
    lost.set_user_attr(NAME_OF_WORKER, f"{socket.gethostname()}:{2**22}:1")  # no such process
    retry_lost(study, 3)
    again = study.ask()
    assert again.number != lost.number
    retry_lost(study, 3)
    study.tell(again, 1.0)
    assert [each.state for each in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_the_password_of_a_database_is_never_shown(tuning):
    params = tuning(storage="postgresql+psycopg://user:opensesame@host/name")
    assert isinstance(params, TuningParams)
    for text in (repr(params), str(params.model_dump()), params.model_dump_json()):
        assert "opensesame" not in text


def find_program(name):
    found = [shutil.which(name), *map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    return next((path for path in found if path), None)


def find_user():
    """Return a user who may run PostgreSQL, which refuses root."""
    if os.getuid():
        return os.getuid()
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    return next((known[name] for name in ("postgres", "nobody") if name in known), None)


@pytest.fixture(scope="module")
def postgresql():
    """URL of a private cluster on loopback."""
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    programs, user = {name: find_program(name) for name in ("initdb", "pg_ctl")}, find_user()
    if None in programs.values() or user is None:
        pytest.skip("no PostgreSQL here (initdb, pg_ctl), or no user but root to run it")
    folder = Path(tempfile.mkdtemp(prefix="slicefill-postgresql-"))
    os.chown(folder, user, -1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(program, *arguments):
        command = [programs[program], "-D", str(folder / "data"), *arguments]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    try:
        run("initdb", "-U", "slicefill", "-A", "trust", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql+psycopg://slicefill@127.0.0.1:{port}/postgres"
        run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.server
def test_of_two_workers_on_postgresql_one_is_killed_and_nothing_is_lost(
    start, tmp_path, tuning, postgresql
):
    shared = {"storage": postgresql, "heartbeat": 1}
    first = start(hang=2, trials=9, **shared)
    wait_for(lambda: (tmp_path / "hanging").exists() or first.poll() is not None)
    other = start(seconds=1.0, trials=9, **shared)
    study = load(tmp_path, tuning(**shared))  # once: each storage keeps a connection open

    def other_is_at_work():
        assert other.poll() is None, other.communicate()[1]
        return len(of_state(study, TrialState.RUNNING)) == 2

    wait_for(other_is_at_work)
    kept = of_state(study, TrialState.COMPLETE)
    assert kept
    kill_in_mid_trial(first, tmp_path)
    finish(other)
    check_nothing_is_lost(study, kept, 9)
