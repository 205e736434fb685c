"""Several processes train as one does on the larger batch; the first alone leaves traces."""

import os
import signal
from functools import partial

import numpy as np
import pytest
import torch
from torch.multiprocessing import ProcessExitedException

from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.training import train
from slicefill.imputation.methods.slice_imputation.training_set import TrainingData
from slicefill.imputation.methods.super_resolution.params import Params as SuperResolutionParams
from slicefill.imputation.methods.super_resolution.training import (
    train_network as train_super_resolution,
)
from slicefill.io.checkpoints import StateFile
from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.scans import Scan
from slicefill.training.fit import Run
from slicefill.types import Case, Lazy

PLAIN = {"transforms": []}  # every process augments by random numbers of its own
ALONE = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}


def give(value):
    return value


def promise(**values):
    return {name: Lazy(partial(give, value), name) for name, value in values.items()}


def ignore(values, epoch):
    pass


def note_process(path, values, epoch):
    with path.open("a") as file:
        file.write(f"{epoch} {os.getpid()}\n")


def kill_in_the_second(values, epoch):
    if epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)


class NotingStore(StateFile):
    """Notes which process wrote."""

    def save(self, state):
        note_process(self.path.with_suffix(".log"), {}, state["epoch"])
        super().save(state)


def curve(checkpoint):
    """Every value of the history, by epoch and term."""
    return {(row["epoch"], row["term"]): row["value"] for row in checkpoint["history"]}


def assert_same_curve(found, expected):
    assert found.keys() == expected.keys()
    for at, value in expected.items():
        if at[1].startswith("train/share/"):  # measured on what the first process sees of the batch
            continue
        assert found[at] == pytest.approx(value, rel=1e-4, abs=1e-6), at


def scan(seed):
    """A bright disc of class 7 on a dark, noisy background."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    disc = (rows - rng.uniform(11, 21)) ** 2 + (columns - rng.uniform(11, 21)) ** 2 < 50
    label = np.where(disc, 7, 0)[None].repeat(5, axis=0)
    image = 0.2 + 0.5 * (label > 0) + 0.05 * rng.standard_normal(label.shape)
    weight = np.ones(label.shape, np.float32)
    weight[1] = 0.3  # the sums of both processes differ
    acquired = np.arange(len(label)) != 1
    return Scan(image[:, None].astype(np.float32), label, weight, acquired, np.ones(3), 0)


def merged(old, new):
    return {**(old or {}), **new} if isinstance(new, dict) else new


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Forked processes cannot use the threads of this one; forking saves seconds of imports."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def params(configuration):
    """Parameters of a section of conf/tiny on a number of CPU processes; sections are merged."""
    tiny = configuration("tiny")["parameters"]

    def make(model, section, devices=None, strategy="ddp_fork", **changes):
        if devices is not None:
            changes["hardware"] = {**ALONE, "devices": devices, "strategy": strategy}
        values = {key: merged(tiny[section].get(key), new) for key, new in changes.items()}
        return model(**{**tiny[section], **values})

    return make


@pytest.fixture(scope="module")
def acquired_case(case):
    """Three anisotropic cases, the second without labels."""
    a, b, c = (case("u1", seed, shape=(20, 18, 5)) for seed in range(3))
    return TrainingData(promise(a=a, b=Case(b.image, None)), promise(c=c), "auto")


@pytest.fixture(scope="module")
def methods(configuration):
    """The entries of conf/tiny."""
    return configuration("tiny")["parameters"]["methods"]


@pytest.fixture(scope="module")
def synthesis(params, methods, acquired_case, tmp_path_factory):
    """Train on two processes with a batch of 2, or on one with 4; every second batch is odd."""
    folder = tmp_path_factory.mktemp("synthesis")

    def make(devices, variant="slice_imputation", name="", report=None, strategy="ddp_fork"):
        options = {"batch": 4 // devices, "epochs": 2, "groups_per_epoch": 11, "patience": 9}
        changed = params(
            SynthesisParams,
            "synthesis",
            devices,
            strategy,
            parts=methods[variant].get("parts", {}),
            optimisation={**options, "pretraining_epochs": 1},
            groups={"crop": (16, 16)},
        )
        name = f"{name}{variant}{devices}"
        report = report or partial(note_process, folder / f"{name}-reports.log")
        return train(
            acquired_case, changed, Run(NotingStore(folder / f"{name}.pt"), report)
        ), folder

    return make


@pytest.mark.parametrize("variant", ["slice_imputation", "iia", "si_refined"])
def test_two_processes_synthesise_as_one_with_the_doubled_batch(variant, synthesis):
    one, _ = synthesis(1, variant)
    two, folder = synthesis(2, variant)
    assert_same_curve(curve(two), curve(one))
    for log in (folder / f"{variant}2.log", folder / f"{variant}2-reports.log"):
        written = [line.split() for line in log.read_text().splitlines()]
        assert [int(epoch) for epoch, _ in written] == list(range(4 if variant == "iia" else 3))
        assert len({process for _, process in written} - {str(os.getpid())}) == 1


@pytest.mark.slow
def test_processes_that_start_afresh_learn_the_same(synthesis):
    forked, _ = synthesis(2)
    spawned, _ = synthesis(2, name="spawned", strategy="auto")
    assert curve(spawned) == curve(forked)


def test_a_killed_run_of_two_processes_ends_as_an_uninterrupted_one(synthesis):
    whole, _ = synthesis(2, name="whole")
    with pytest.raises(ProcessExitedException, match="SIGKILL"):
        synthesis(2, name="killed", report=kill_in_the_second)
    resumed, folder = synthesis(2, name="killed")
    reported = (folder / "killedslice_imputation2-reports.log").read_text().splitlines()
    assert [line.split()[0] for line in reported] == ["2"]  # it was not saved
    assert curve(resumed) == curve(whole)
    assert all(torch.equal(w, whole["weights"][name]) for name, w in resumed["weights"].items())


DYNUNET = {"kind": "dynunet3d", "width": 4, "widest": 8, "deep_supervision": True}


@pytest.mark.parametrize(
    ("engine", "training"),
    [
        ("unet2d", {"a": 1, "b": 2}),
        ("dynunet3d", {"a": 1}),
    ],
)
def test_two_processes_segment_as_one_with_the_doubled_batch(engine, training, params, tmp_path):
    scans = {name: scan(seed) for name, seed in {**training, "v": 3}.items()}
    held_out = promise(v=scans.pop("v"))
    curves = []
    for devices in (1, 2):
        changed = params(
            SegmentationParams,
            "segmentation",
            devices,
            label_names={0: "background", 7: "disc"},
            engines={"dynunet3d": {**DYNUNET, "patch": (4, 32, 32)}},
            optimisation={"batch": 4 // devices, "epochs": 2, "steps_per_epoch": 3},
        )
        setting = Setting(changed, params(AugmentationParams, "augmentation", **PLAIN), 0)
        data = SegmentationData(promise(**scans), held_out, (0, 7))
        run = Run(StateFile(tmp_path / f"{devices}.pt"), ignore)
        system = find_engine(engine, changed)
        curves.append(curve(system.module.train(data, system.params, setting, run)))
    assert_same_curve(*reversed(curves))


def test_two_processes_raise_resolution_as_one_with_the_doubled_batch(
    params, methods, case, tmp_path
):
    a, b, c = (case("u1", seed, shape=(18, 16, 15), affine=np.eye(4)) for seed in range(3))
    checkpoints = []
    for devices in (1, 2):
        options = {"batch": 4 // devices, "patch": (3, 12), "epochs": 2, "adversarial_epochs": 1}
        changed = params(
            SuperResolutionParams,
            "super_resolution",
            devices,
            network=methods["esrgan"]["network"],
            factor=3,
            optimisation=options,
        )
        run = Run(StateFile(tmp_path / f"{devices}.pt"), ignore)
        cases = promise(a=a, b=b), promise(c=c)
        checkpoints.append(train_super_resolution(*cases, changed, run))
    one, two = map(curve, checkpoints)
    on_l1 = {at for at in one if at[0] <= 2}  # after that the critic sees a process's share
    assert_same_curve({at: two[at] for at in on_l1}, {at: one[at] for at in on_l1})
    assert two.keys() == one.keys()
    assert np.isfinite(list(two.values())).all()
