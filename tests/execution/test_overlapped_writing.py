"""In turn, one item is written while the next is made; nothing else changes."""

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from functools import partial
from pathlib import Path

import pytest

from slicefill.datasets import cases
from slicefill.datasets.cases import CasesDataset
from slicefill.execution.each import run_each
from slicefill.execution.serial import MakeThenWrite
from slicefill.params import SERIAL
from slicefill.types import Promise

from ..conftest import ROOT

PATIENCE = 20  # seconds that a test waits for what comes at once unless it is broken


def same(_, value):
    return value


def shelf(folder):
    return CasesDataset(path=str(folder), made_by="imputation")


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_one_is_written_while_the_next_is_made():
    """Each waits for the other: one after the other, neither would ever come to its end."""
    making_b, writing_a = threading.Event(), threading.Event()

    def make(name, _):
        if name == "b":
            making_b.set()
            assert writing_a.wait(PATIENCE)

    def write(name, _):
        if name == "a":
            writing_a.set()
            assert making_b.wait(PATIENCE)
        return name

    done, failed = run_each(MakeThenWrite(make, write), dict.fromkeys("abc"), SERIAL, "")
    assert (done, failed) == ({"a": "a", "b": "b", "c": "c"}, {})


def test_a_slow_disk_holds_back_the_making():
    """Else everything made would wait in memory: the third is made when the first is written."""
    making_b, events = threading.Event(), []

    def make(name, _):
        events.append(f"make {name}")
        if name == "b":
            making_b.set()

    def write(name, _):
        if name == "a":
            assert making_b.wait(PATIENCE)
            time.sleep(0.2)  # enough to make all others
        events.append(f"{name} written")

    run_each(MakeThenWrite(make, write), dict.fromkeys("abcd"), SERIAL, "")
    for written, made in zip("ab", "cd", strict=True):
        assert events.index(f"{written} written") < events.index(f"make {made}")


def test_what_is_written_is_let_go_while_the_next_is_made():
    class Large:
        pass

    written, held = threading.Event(), []

    def make(name, _):
        if name == "b":
            assert written.wait(PATIENCE)
            end = time.monotonic() + PATIENCE
            while held[0]() is not None and time.monotonic() < end:
                gc.collect()
        made = Large()
        held.append(weakref.ref(made))
        return made

    def write(name, made):
        written.set()

    run_each(MakeThenWrite(make, write), dict.fromkeys("ab"), SERIAL, "")
    assert held[0]() is None


def test_failures_of_either_step_are_told_in_the_order_of_the_items(caplog):
    def make(name, number):
        if number == 1:
            raise ValueError("no luck")
        return number

    def write(name, number):
        if number % 2 == 0:
            raise OSError("disk full")
        return number

    caplog.set_level(logging.DEBUG, "slicefill")
    numbers = {name: number for number, name in enumerate("cabd")}
    done, failed = run_each(MakeThenWrite(make, write), numbers, SERIAL, "impute")
    assert done == {"d": 3}
    assert list(failed.items()) == [
        ("c", "OSError: disk full"),
        ("a", "ValueError: no luck"),
        ("b", "OSError: disk full"),
    ]
    told = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert told == [f"impute: {name} failed: {reason}" for name, reason in failed.items()]
    assert "in write" in caplog.records[1].message  # where it happened, for who asks


def test_the_last_failure_counts_too():
    def write(*_):
        raise OSError("disk full")

    assert run_each(MakeThenWrite(same, write), {"a": 1}, SERIAL, "") == (
        {},
        {"a": "OSError: disk full"},
    )


def test_the_files_are_the_same_as_one_step_after_the_other(case, tmp_path, monkeypatch):
    promises = {f"m/{seed}": Promise(partial(case, seed=seed), "1") for seed in range(4)}
    shelf(tmp_path / "overlapped").save(promises)
    monkeypatch.setattr(cases, "MakeThenWrite", lambda *steps: MakeThenWrite(*steps).__call__)
    shelf(tmp_path / "apart").save(promises)
    assert contents(tmp_path / "overlapped") == contents(tmp_path / "apart")


def test_a_case_that_cannot_be_written_is_quarantined_and_the_others_go_on(
    case, tmp_path, monkeypatch
):
    def refuse(made, folder):
        if folder.name == "b":
            raise OSError("No space left on device")
        write(made, folder)

    read, write = cases._CONTENTS["case"]
    dataset = shelf(tmp_path / "cases")
    stale = Promise(case, "of an earlier setting")
    dataset.save({"b": stale})
    monkeypatch.setitem(cases._CONTENTS, "case", (read, refuse))
    dataset.save({name: Promise(case, "1") for name in "abc"})
    assert list(dataset.load()) == ["a", "c"]
    assert dataset.failures() == {"b": "OSError: No space left on device"}
    assert not (tmp_path / "cases" / "b").exists()
    assert not dataset.exists()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_run_loses_no_finished_case(end, case, tmp_path, monkeypatch):
    """The first case is still being written when the making of the second ends the run."""
    ending = threading.Event()
    read, write = cases._CONTENTS["case"]

    def slowly(made, folder):
        assert ending.wait(PATIENCE)
        write(made, folder)

    def stop():
        ending.set()
        raise end

    monkeypatch.setitem(cases._CONTENTS, "case", (read, slowly))
    dataset = shelf(tmp_path / "cases")
    with pytest.raises(end):
        dataset.save({"a": Promise(case, "1"), "b": Promise(stop, "1"), "c": Promise(stop, "1")})
    assert (tmp_path / "cases" / "a" / "record.json").exists()  # the file that is written last
    assert not dataset.exists()
    monkeypatch.undo()
    again = {"a": Promise(lambda: pytest.fail("made twice"), "1"), "b": Promise(case, "1")}
    dataset.save(again)
    assert list(dataset.load()) == ["a", "b"]


INTERRUPTED = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from slicefill.io import storage
from slicefill.io.storage import replace_folder
from slicefill.execution.each import run_each
from slicefill.execution.serial import MakeThenWrite
from slicefill.params import SERIAL
folder = Path(sys.argv[1])
def make(name, _):
    if name == "b":
        (folder / "making b").touch()
        time.sleep(600)
def slowly():
    (folder / "writing").touch()
    time.sleep(1)
    return b"all of it"
def write(name, _):
    replace_folder(folder / name, {"large": slowly, "record.json": lambda: b"{}"})
run_each(MakeThenWrite(make, write), dict.fromkeys("ab"), SERIAL, "impute")
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    folder = tmp_path / "out"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen([sys.executable, str(script), str(folder)], env=environment) as run:
        try:
            end = time.monotonic() + 60
            while not all((folder / name).exists() for name in ("writing", "making b")):
                assert time.monotonic() < end
                time.sleep(0.02)
            run.send_signal(signal.SIGINT)
            assert run.wait(60) not in (0, None)
        finally:
            run.kill()
    assert {path.name for path in Path(folder).iterdir()} == {"a", "writing", "making b"}
    assert (folder / "a" / "large").read_bytes() == b"all of it"
    assert (folder / "a" / "record.json").exists()
