"""A run that is killed and started again ends with the same bits as one that was not."""

import shutil
import signal

import pytest
import torch

from slicefill.io.checkpoints import read_checkpoint

# Runs Kedro, and kills itself with SIGKILL right after a function has done its work n times:
# at a definite place, where a kill from outside would come at any.
KILLED = """
import os, signal, sys
from importlib import import_module
module, owner, name, times = sys.argv.pop(1).split(":")
target = import_module(module)
target = getattr(target, owner) if owner else target
original, count = getattr(target, name), [int(times)]
def work_then_die(*args):
    made = original(*args)
    count[0] -= 1
    if count[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return made
setattr(target, name, work_then_die)
from kedro.framework.cli import main
sys.argv[0] = "kedro"
main()
"""
RUN = ("run", "--env=tiny")


@pytest.fixture
def unfinished(tiny_run, tmp_path):
    """The finished project without its models, imputed cases and reports."""
    left_out = shutil.ignore_patterns("06_models", "07_model_output", "08_reporting", "mlflow")
    return shutil.copytree(tiny_run[0], tmp_path / "project", ignore=left_out)


def same(one, other):
    """Whether two nested states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_training_that_is_killed_ends_with_the_same_weights(unfinished, tiny_run, python, kedro):
    run = (*RUN, "--pipelines=synthesis")
    killer = "slicefill.datasets.checkpoints:StateFile:save:2"  # the first has untrained weights
    killed = python(unfinished, "-c", KILLED, killer, *run)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = unfinished / "data" / "06_models" / "tiny" / "S_x4"
    assert read_checkpoint(folder / "last" / "slice_imputation.pt")["epoch"] == 1
    assert not (folder / "slice_imputation.pt").exists()

    resumed = kedro(unfinished, *run)
    assert resumed.returncode == 0, resumed.stderr
    assert "training continues after epoch 1" in resumed.stdout + resumed.stderr
    whole = tiny_run[0] / "data" / "06_models" / "tiny" / "S_x4"
    for name in ("slice_imputation.pt", "last/slice_imputation.pt"):
        made, other = (read_checkpoint(path / name) for path in (folder, whole))
        for state in (made, other):
            state.pop("minutes", None)  # how long it took
        assert same(made, other)


def test_imputation_that_is_killed_ends_with_the_same_files(unfinished, tiny_run, python, kedro):
    whole = tiny_run[0] / "data"
    shutil.copytree(whole / "06_models", unfinished / "data" / "06_models")
    run = (*RUN, "--pipelines=imputation")
    killer = "slicefill.io.case_folder::encode_volume:6"  # four volumes each: in the second
    killed = python(unfinished, "-c", KILLED, killer, *run)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    imputed = unfinished / "data" / "07_model_output" / "tiny" / "S_x4" / "imputed"
    (first,) = imputed.glob("*/virtual-*")
    assert not (imputed / "_COMPLETE").exists()
    made = (first / "image.nii.gz").stat().st_mtime_ns

    resumed = kedro(unfinished, *run)
    assert resumed.returncode == 0, resumed.stderr
    assert (first / "image.nii.gz").stat().st_mtime_ns == made  # not made again
    expected = whole / "07_model_output" / "tiny" / "S_x4" / "imputed"
    files = {p.relative_to(expected) for p in expected.rglob("*") if p.is_file()}
    assert {p.relative_to(imputed) for p in imputed.rglob("*") if p.is_file()} == files
    for file in files:
        assert (imputed / file).read_bytes() == (expected / file).read_bytes()
