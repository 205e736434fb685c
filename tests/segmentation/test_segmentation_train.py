"""Training our own networks: they learn, resume to the bit, and obey the weights of voxels."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from slicefill.io.checkpoints import StateFile, read_checkpoint, write_checkpoint
from slicefill.metrics.overlap import dice
from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.plugins import find_kind
from slicefill.segmentation import engines
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.networks import build_network
from slicefill.segmentation.scans import Scan
from slicefill.training.fit import Run
from slicefill.types import Lazy

from ..states import equal

DIRECT = ["unet2d", "dynunet3d", "mean_teacher", "conresnet"]
OWN = [*DIRECT, "multiplanar"]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("conresnet", "multiplanar")]
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
    return SegmentationData(
        promise(**training), promise(**validation or {"v": make_scan(3)}), CLASSES
    )


@pytest.fixture(scope="module")
def setting(configuration):
    """A tiny training; sections of the segmentation parameters are merged."""
    values = configuration("tiny")["parameters"]
    tiny = {
        "label_names": {0: "background", 7: "disc"},
        "engines": {
            "unet2d": {"width": 4, "patch": (32, 32)},
            "dynunet3d": {"width": 4, "widest": 8, "patch": (4, 32, 32)},
            "mean_teacher": {"width": 4, "patch": (32, 32), "passes": 2},
            "conresnet": {"width": 8, "patch": (4, 32, 32)},
            "multiplanar": {"width": 4, "patch": (32, 32), "orientations": 1},
        },
        "optimisation": {"batch": 4, "epochs": 2, "steps_per_epoch": 2, "patience": 9},
        "hardware": {"accelerator": "cpu", "devices": 1, "precision": "32-true"},
    }

    def merged(old, new):
        if not isinstance(old, dict):
            return new
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}

    def make(seed=0, augmentation=None, **changes):
        params = dict(values["segmentation"])
        for part in (tiny, changes):
            params |= {
                key: value if key == "label_names" else merged(params.get(key), value)
                for key, value in part.items()
            }
        given = AugmentationParams(**{**values["augmentation"], **(augmentation or {})})
        return Setting(SegmentationParams(**params), given, seed)

    return make


def ignore(values, epoch):
    pass


def kill_in_the_second(values, epoch):
    if epoch == 2:
        raise KeyboardInterrupt


def note_epoch(path, values, epoch):
    with path.open("a") as file:
        file.write(f"{epoch}\n")


@pytest.fixture
def train(tmp_path):
    """Train in a slot of that name."""

    def run(engine, data, setting, name="state", report=ignore):
        system = find_engine(engine, setting.params)
        state = Run(StateFile(tmp_path / f"{name}.pt"), report)
        return system.module.train(data, system.params, setting, state)

    return run


def training_fingerprint(engine, data, setting):
    system = find_engine(engine, setting.params)
    return system.module.training_fingerprint(data, system.params, setting)


def load(checkpoint, setting):
    return find_kind(engines.FOLDER, checkpoint["engine"]).load(checkpoint, setting.params)


def build(checkpoint):
    own = find_kind(engines.FOLDER, checkpoint["engine"])
    return getattr(own, "build", build_network)(checkpoint["design"])


def dice_of(checkpoint, setting, scan):
    found = load(checkpoint, setting)(scan).argmax(0)
    return dice((found == 1)[scan.acquired], (scan.label == 7)[scan.acquired])


def untrained(checkpoint):
    torch.manual_seed(0)
    return {**checkpoint, "weights": build(checkpoint).state_dict()}


@pytest.mark.parametrize("engine", OWN)
def test_training_finds_a_bright_disc(engine, setting, train):
    made = setting(optimisation={"epochs": 2, "steps_per_epoch": 12})
    checkpoint = train(engine, make_data(engine), made)
    assert dice_of(untrained(checkpoint), made, make_scan(3)) < 0.5
    least = 0.8 if engine == "multiplanar" else 0.85  # tilted planes see the disc as ellipses, too
    assert checkpoint["validation"]["dice"] > least
    assert dice_of(checkpoint, made, make_scan(4)) > least  # never seen


@pytest.mark.parametrize("engine", DIRECT)
def test_a_checkpoint_on_disk_holds_all_that_prediction_needs(engine, setting, train, tmp_path):
    whole, scan = (8, 32, 32), make_scan(3)  # in 3D the one window is the scan: 5 of 8 slices
    patches = {"dynunet3d": {"patch": whole}, "conresnet": {"patch": whole}}
    checkpoint = train(engine, make_data(engine), setting(engines=patches))
    write_checkpoint(checkpoint, tmp_path / "model.pt")
    stored = read_checkpoint(tmp_path / "model.pt")
    assert equal(stored, checkpoint)
    other = setting(engines={"unet2d": {"width": 8}, "dynunet3d": {"width": 8}})
    found = load(stored, other)(scan)  # the network of the checkpoint, not this

    network = build(checkpoint).eval()
    network.load_state_dict(checkpoint["weights"])
    image = torch.from_numpy(scan.image)
    with torch.no_grad():
        if len(checkpoint["design"]["patch"]) == 3:
            expected = network(image.movedim(1, 0)[None])[0].softmax(0)
        else:
            expected = network(image).softmax(1).movedim(1, 0)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert dice_of(stored, other, scan) == pytest.approx(checkpoint["validation"]["dice"])


def test_only_labelled_validation_cases_choose_the_epoch(setting, train):
    known, unknown = make_scan(3), make_scan(4)
    unknown.weight[:] = unknown.label[:] = 0
    alone = train("unet2d", make_data(validation={"v": known}), setting(), "alone")
    mixed = train("unet2d", make_data(validation={"u": unknown, "v": known}), setting(), "mixed")
    assert mixed["history"] == alone["history"]
    with pytest.raises(ValueError, match="validation/dice was not a number"):
        train("unet2d", make_data(validation={"u": unknown}), setting(), "none")


def test_synthetic_slices_of_validation_cases_do_not_count(setting, train):
    wrong = make_scan(3)
    wrong.label[~wrong.acquired] = 7
    expected = train("unet2d", make_data(), setting(), "right")
    found = train("unet2d", make_data(validation={"v": wrong}), setting(), "wrong")
    assert found["history"] == expected["history"]


@pytest.mark.parametrize("engine", ["unet2d", "dynunet3d"])
def test_labels_of_weight_0_have_no_effect(engine, setting, train):
    weights = []
    for name in ("right", "wrong", "weighted"):
        scan = make_scan(1)
        if name != "right":
            scan.label[~scan.acquired] = 7 - scan.label[~scan.acquired]
        if name != "weighted":
            scan.weight[~scan.acquired] = 0
        made = train(engine, make_data(training={"a": scan}), setting(), name)
        weights.append(made["weights"])
    right, wrong, weighted = weights
    assert equal(right, wrong)
    assert not equal(wrong, weighted)


@pytest.mark.parametrize("engine", ["unet2d", "mean_teacher", *SLOW])
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(engine, setting, train):
    made = setting(optimisation={"epochs": 3})
    expected = train(engine, make_data(engine), made, "whole")
    with pytest.raises(KeyboardInterrupt):
        train(engine, make_data(engine), made, "killed", kill_in_the_second)
    epochs = []
    resumed = train(
        engine, make_data(engine), made, "killed", lambda _, epoch: epochs.append(epoch)
    )
    assert epochs == [2, 3]  # the second was not saved
    assert equal(resumed, expected)


def test_another_seed_makes_another_network(setting, train):
    one, again, other = (
        train("unet2d", make_data(), setting(seed=seed), name)["weights"]
        for name, seed in (("one", 0), ("again", 0), ("other", 1))
    )
    assert equal(one, again)
    assert not equal(one, other)


@pytest.mark.parametrize("engine", OWN)
def test_the_fingerprint_depends_on_what_determines_the_network(engine, setting):
    data = make_data(engine)
    swapped = replace(data, training=data.validation, validation=data.training)
    renamed = {name: replace(scan, fingerprint="other") for name, scan in data.training.items()}
    own = {
        "unet2d": [{"unet2d": {"width": 8}}],
        "dynunet3d": [{"dynunet3d": {"deep_supervision": False}}],
        "mean_teacher": [{"mean_teacher": {"width": 8}}, {"mean_teacher": {"decay": 0.5}}],
        "conresnet": [{"conresnet": {"width": 16}}, {"conresnet": {"attention": False}}],
        "multiplanar": [{"multiplanar": {"labels": "all"}}, {"multiplanar": {"orientations": 2}}],
    }
    settings = [
        setting(),
        setting(seed=1),
        setting(optimisation={"learning_rate": 0.5}),
        setting(augmentation={"transforms": []}),
        *(setting(engines=change) for change in own[engine]),
    ]
    others = [swapped, replace(data, training=renamed), replace(data, classes=(0, 7, 9))]
    marks = [training_fingerprint(engine, data, made) for made in settings]
    marks += [training_fingerprint(engine, other, setting()) for other in others]
    marks += [
        training_fingerprint(name, data, setting()) for name in (*OWN, "nnunetv2") if name != engine
    ]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("engine", OWN)
def test_the_fingerprint_ignores_other_engines_and_what_is_kept(engine, setting):
    others = {
        "unet2d": {"width": 8},
        "dynunet3d": {"width": 8},
        "mean_teacher": {"decay": 0.5},
        "conresnet": {"dropout": 0.5},
        "multiplanar": {"labels": "all"},
        "nnunetv2": {"processes": 9},
    }
    changed = setting(
        engines={name: change for name, change in others.items() if name != engine},
        inference={"batch": 1, "softmax": True},
        seeds=[0, 1],
    )
    data = make_data(engine)
    assert training_fingerprint(engine, data, changed) == training_fingerprint(
        engine, data, setting()
    )


def test_the_fingerprint_knows_the_hardware_on_which_results_depend(setting):
    devices = setting(hardware={"devices": 2})
    data = make_data("unet2d")
    assert training_fingerprint("unet2d", data, devices) != training_fingerprint(
        "unet2d", data, setting()
    )


def test_nnunet_does_not_depend_on_what_it_does_by_itself(setting):
    data, changed = make_data("unet2d"), setting(optimisation={"batch": 3})
    assert training_fingerprint("nnunetv2", data, changed) == training_fingerprint(
        "nnunetv2", data, setting()
    )


def test_training_without_what_it_draws_from_is_refused(setting, train):
    with pytest.raises(ValueError, match="at least one training case"):
        train("unet2d", replace(make_data(), training={}), setting())
    with pytest.raises(ValueError, match="synthetic slice without label"):
        train("mean_teacher", make_data("unet2d"), setting())


def test_an_unknown_engine_or_kind_is_refused_with_the_names_of_those_there_are(setting):
    with pytest.raises(ValueError, match=r"expected one of unet2d, dynunet3d, .*, got 'unet'"):
        find_engine("unet", setting().params)
    params = setting(engines={"mine": {"kind": "unet"}}).params
    with pytest.raises(ValueError, match=r"engines\.mine\.kind: .*mean_teacher, .*, got 'unet'"):
        find_engine("mine", params)


def test_an_entry_of_the_same_kind_is_another_engine(setting, train):
    made = setting(engines={"wide": {"kind": "unet2d", "width": 8, "patch": (32, 32)}})
    data = make_data()
    assert train("wide", data, made)["design"]["width"] == 8
    prints = {training_fingerprint(name, data, made) for name in ("wide", "unet2d")}
    assert len(prints) == 2


@pytest.mark.slow
def test_two_devices_train_one_network_that_can_be_reproduced(setting, train, tmp_path):
    made, checkpoints = setting(hardware={"devices": 2}), []
    for name in ("one", "two"):
        report = partial(note_epoch, tmp_path / name)
        checkpoints.append(train("unet2d", make_data(), made, f"state-{name}", report))
        assert (tmp_path / name).read_text() == "1\n2\n"  # by one process only
    one, two = checkpoints
    assert all(torch.isfinite(weight).all() for weight in one["weights"].values())
    assert equal(one, two)
    assert not equal(one["weights"], train("unet2d", make_data(), setting(), "alone")["weights"])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dynunet3d", "mean_teacher", "conresnet", "multiplanar"])
def test_every_engine_trains_on_two_devices(engine, setting, train):
    made = setting(hardware={"devices": 2}, optimisation={"epochs": 1})
    checkpoint = train(engine, make_data(engine), made)
    assert all(torch.isfinite(weight).all() for weight in checkpoint["weights"].values())
    assert 0 <= dice_of(checkpoint, made, make_scan(3)) <= 1
