"""Training our own networks: they learn, resume to the bit, and obey the weights of voxels."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from slicefill.datasets.checkpoints import Slot, read_checkpoint, write_checkpoint
from slicefill.metrics.overlap import dice
from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.design import build_network
from slicefill.segmentation.engines import ENGINES, find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.scans import Scan
from slicefill.segmentation.train import load_network, train_network, training_mark
from slicefill.training import Run
from slicefill.types import Lazy

OWN = ["unet2d", "dynunet3d", "mean_teacher"]
CLASSES = (0, 7)
SHAPE = (5, 32, 32)  # slices 0, 2 and 4 are acquired


def make_scan(seed, labelled_synthetic=True):
    """A bright disc of class 7 on a dark, noisy background."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    centre, radius = rng.uniform(11, 21, 2), rng.uniform(5, 9)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    label = np.where(disc, 7, 0)[None].repeat(SHAPE[0], axis=0)
    image = 0.2 + 0.5 * (label > 0) + 0.05 * rng.standard_normal(SHAPE)
    acquired = np.arange(SHAPE[0]) % 2 == 0
    weight = np.ones(SHAPE, np.float32)
    if not labelled_synthetic:
        weight[~acquired] = 0
        label[~acquired] = 0
    return Scan(image[:, None].astype(np.float32), label, weight, acquired, np.ones(3), 0)


def keep(scan):
    return scan


def promise(**scans):
    return {name: Lazy(partial(keep, scan), name) for name, scan in scans.items()}


def make_data(engine="unet2d", training=None, validation=None):
    labelled = engine != "mean_teacher"
    training = training or {"a": make_scan(1, labelled), "b": make_scan(2, labelled)}
    return SegmentationData(promise(**training), promise(**validation or {"v": make_scan(3)}), CLASSES)


@pytest.fixture(scope="module")
def setting(configuration):
    """A tiny training; sections of the segmentation parameters are merged."""
    values = configuration("tiny")["parameters"]
    tiny = {
        "label_names": {0: "background", 7: "disc"},
        "unet2d": {"width": 4, "patch": (32, 32)},
        "dynunet3d": {"width": 4, "widest": 8, "patch": (4, 32, 32)},
        "mean_teacher": {"passes": 2},
        "optimisation": {"batch": 4, "epochs": 2, "steps_per_epoch": 2, "patience": 9},
        "hardware": {"accelerator": "cpu", "devices": 1, "precision": "32-true"},
    }

    def merged(old, new):
        return {**old, **new} if isinstance(old, dict) else new

    def make(seed=0, augmentation=None, **changes):
        params = dict(values["segmentation"])
        for part in (tiny, changes):
            params |= {
                key: value if key == "label_names" else merged(params[key], value)
                for key, value in part.items()
            }
        given = AugmentationParams(**{**values["augmentation"], **(augmentation or {})})
        return Setting(SegmentationParams(**params), given, seed)

    return make


def ignore(values, epoch):
    pass


def kill_after_the_first(values, epoch):
    if epoch == 2:
        raise KeyboardInterrupt


def note_epoch(path, values, epoch):
    with path.open("a") as file:
        file.write(f"{epoch}\n")


@pytest.fixture
def train(tmp_path):
    """Train in a slot of that name."""

    def run(engine, data, setting, name="state", report=ignore):
        return train_network(engine, data, setting, Run(Slot(tmp_path / f"{name}.pt"), report))

    return run


def equal(one, other):
    """Whether two nested states are the same to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def dice_of(checkpoint, setting, scan):
    found = load_network(checkpoint, setting.params)(scan).argmax(0)
    return dice((found == 1)[scan.acquired], (scan.label == 7)[scan.acquired])


@pytest.mark.slow
def test_two_devices_train_one_network(setting, tmp_path):
    made = setting(hardware={"devices": 2})
    checkpoints = []
    for name in ("one", "two"):
        run = Run(Slot(tmp_path / f"{name}.pt"), partial(note_epoch, tmp_path / name))
        checkpoints.append(train_network("unet2d", make_data(), made, run))
        assert (tmp_path / name).read_text() == "1\n2\n"  # by one process only
    first, again = checkpoints
    assert all(torch.isfinite(weight).all() for weight in first["weights"].values())
    assert equal(first, again)
