"""The table of odd inputs counts every file, and a crash is one of its outcomes."""

import runpy
import sys

import pytest

from slicefill.io.case_folder import write_volume

from .conftest import ROOT


@pytest.fixture
def odd_inputs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(sys, "argv", ["odd_inputs.py"])
    return runpy.run_path(str(ROOT / "benchmarks" / "odd_inputs.py"))


def test_every_file_has_a_line(odd_inputs, case, tmp_path):
    folder = tmp_path / "odd"
    write_volume(case().image, folder / "whole.nii.gz")
    (folder / "notes.txt").write_text("by hand")
    (folder / "gone.nii.gz").symlink_to(folder / "nowhere.nii.gz")
    (folder / "web.nii.gz").write_text("<html>")
    lines = odd_inputs["try_input"](folder)
    outcomes = {line.name: line.outcome for line in lines}
    assert outcomes == {
        "whole": "imputed, verified",
        "notes.txt": "left aside",
        "gone": "refused",
        "web": "refused",
    }
    page = odd_inputs["render"](lines)
    assert "4 lines: 2 refused, 1 imputed, verified, 1 left aside." in page


def test_a_crash_is_an_outcome(odd_inputs, case, tmp_path, monkeypatch):
    path = tmp_path / "scan.nii.gz"
    write_volume(case().image, path)
    broken = odd_inputs["try_input"]
    monkeypatch.setitem(broken.__globals__, "impute_scans", lambda *_: 1 / 0)
    (line,) = broken(path)
    assert (line.outcome, line.said) == ("CRASHED", "division by zero")


def test_what_was_before_is_joined_by_input_and_file(odd_inputs, tmp_path):
    line = odd_inputs["Line"]
    now = [
        line("in", "a.nii", "a", "imputed, verified", "4 → 2 mm, 7 → 13 slices"),
        line("in", "b.nii", "b", "imputed, verified", "4 → 2 mm, 7 → 13 slices"),
        line("in", "c.nii", "c", "imputed, verified", "4 → 2 mm, 7 → 13 slices"),
        line("in", "d.txt", "d.txt", "left aside", "a text"),
        line("other", "x/1.dcm", "1.dcm", "refused", "cut"),
    ]
    before = [
        line("in", "a.nii", "", "imputed, verified", "4 → 7 slices"),
        line("in", "b.nii", "", "CRASHED", "KeyError"),
        line("in", "c.nii", "", "CRASHED", "KeyError"),
        line("other", ".", "", "refused", "nothing there"),
    ]
    rows = odd_inputs["render"](now, before).splitlines()
    said = "imputed, verified | 4 → 2 mm, 7 → 13 slices |"
    assert f"| in: a | imputed, verified: 4 → 7 slices | {said}" in rows
    assert f"| in: b, c | CRASHED | {said}" in rows
    assert "| in: d.txt | no word | left aside | a text |" in rows
    assert "| other: 1.dcm | refused | refused | cut |" in rows
    assert "Before: 2 CRASHED, 1 imputed, verified, 1 no word, 1 refused." in rows
