"""How the product starts, wherever it does: threads that sleep, and no report of usage."""

import os
import re
import sys

import pytest

from .conftest import ROOT
from .starting import program, run


def wait_policies(said):
    """What every OpenMP runtime that was loaded has read."""
    return re.findall(r"OMP_WAIT_POLICY\s*=\s*'(\w+)'", said)


@pytest.mark.parametrize(
    ("set_before", "expected"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")],
    ids=["of its own accord", "unless the user says otherwise"],
)
def test_threads_that_wait_sleep(tmp_path, set_before, expected):
    code = "import sys, slicefill; assert 'torch' not in sys.modules; import torch"
    variables = {"PYTHONPATH": str(ROOT / "src"), "OMP_DISPLAY_ENV": "true", **set_before}
    done = run([sys.executable, "-c", code], tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert set(wait_policies(done.stderr)) == {expected}


NO_NETWORK = """
import socket, sys
def refuse(self, address):
    print("CONNECTS TO", address, file=sys.stderr)
    raise OSError("refused by the test")
socket.socket.connect = socket.socket.connect_ex = refuse
"""


@pytest.fixture
def watched(tmp_path):
    """Run Python where no usage may be reported; return what it said."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "sitecustomize.py").write_text(NO_NETWORK)
    variables = {
        "PYTHONPATH": os.pathsep.join([str(home), str(ROOT / "src")]),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }

    def start(folder, *arguments, **more):
        done = run([sys.executable, *arguments], folder, **variables, **more)
        assert "CONNECTS TO" not in done.stdout + done.stderr
        assert not list(home.rglob("telemetry.toml"))  # Kedro's name for the user
        return done

    return start


def test_outside_a_project_nothing_reports_usage(watched, tmp_path):
    assert "usage" in watched(tmp_path, *program("--help")).stdout
    done = watched(tmp_path, *program("tune-worker", "--env=tiny"))
    assert done.returncode == 2
    assert f"expected the project in {tmp_path} or above it" in done.stderr
    assert "start the worker in the project's folder" in done.stderr


def test_kedro_in_the_project_reports_no_usage_even_without_its_settings(watched, project):
    assert not (project / ".telemetry").exists()
    done = watched(project, "-m", "kedro", "registry", "list")
    assert done.returncode == 0, done.stderr
    assert "imputation" in done.stdout


@pytest.mark.server
def test_a_kedro_run_and_its_workers_report_no_usage_and_their_threads_sleep(watched, project):
    command = ("-m", "kedro", "run", "--env=tiny", "--pipelines=imputation")
    workers = "--params=executor.kind=processes,executor.workers=1"
    done = watched(project, *command, workers, OMP_DISPLAY_ENV="true")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = wait_policies(done.stderr)
    assert len(found) > 1  # the run's, and its worker's
    assert set(found) == {"PASSIVE"}


def test_the_watch_sees_kedro_report_usage_where_it_does(watched, tmp_path):
    with pytest.raises(AssertionError):
        watched(tmp_path, "-m", "kedro", "info")
