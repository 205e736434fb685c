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
    outcomes = {name: outcome for _, name, outcome, _ in lines}
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
    ((_, _, outcome, said),) = broken(path)
    assert (outcome, said) == ("CRASHED", "division by zero")
