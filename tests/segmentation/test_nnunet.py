"""nnU-Net as an engine: what it is given, what is kept of it, and one real training."""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch

from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.engines.nnunetv2.files import export_raw
from slicefill.segmentation.engines.nnunetv2.nnunet import load_nnunet, train_nnunet
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.scans import Scan
from slicefill.training.fit import Run
from slicefill.types import Lazy

CLASSES = (0, 2, 5)
SPACING = (2.5, 0.75, 1.25)
INSTALLED = importlib.util.find_spec("nnunetv2") is not None

# Stands in for the library where it is not installed: same entry points, same files.
PLAN = """
import json, os, pathlib, sys
def plan_and_preprocess_entry():
    print("planning", sys.argv[1:])
    if os.environ.get("STAND_IN_FAILS"):
        sys.exit("out of memory, says the stand-in")
    raw = pathlib.Path(os.environ["nnUNet_raw"], "Dataset001_slicefill")
    made = pathlib.Path(os.environ["nnUNet_preprocessed"], "Dataset001_slicefill")
    made.mkdir()
    (made / "dataset.json").write_text((raw / "dataset.json").read_text())
"""
TRAIN = """
import json, os, pathlib, sys, numpy as np, torch
def run_training_entry():
    dataset, configuration, _, _, trainer, _, device, *_ = sys.argv[1:]
    made = pathlib.Path(os.environ["nnUNet_preprocessed"], "Dataset001_slicefill")
    split = json.loads((made / "splits_final.json").read_text())
    base = pathlib.Path(os.environ["nnUNet_results"], "Dataset001_slicefill", "t__p__c")
    fold, scored = base / "fold_0", {"foreground_mean": {"Dice": 0.5}}
    (fold / "validation").mkdir(parents=True)
    (base / "plans.json").write_text(json.dumps({"split": split[0]}))
    (base / "dataset.json").write_text((made / "dataset.json").read_text())
    (fold / "validation" / "summary.json").write_text(json.dumps(scored))
    logged = {"train_losses": [np.float32(1.5), np.float32(0.5)], "val_losses": [2.0, 1.0],
              "mean_fg_dice": [np.float64(0.25), np.nan]}
    made = {"network_weights": {"w": torch.rand(2)}, "logging": logged, "trainer_name": trainer,
            "init_args": {"configuration": configuration, "device": torch.device(device)},
            "inference_allowed_mirroring_axes": (0, 1)}
    torch.save(made, fold / "checkpoint_final.pth")
"""


def make_scan(seed=0, shape=(6, 24, 20), channels=1, interval=1):
    """Bright ellipsoids of class 2 in a darker class 5; every interval-th slice acquired."""
    rng = np.random.default_rng(seed)
    grid = np.moveaxis(np.indices(shape), 0, -1)
    centre = np.array(shape) / 2 + rng.uniform(-1, 1, 3)
    distance = np.linalg.norm((grid - centre) / (np.array(shape) / 2.5), axis=-1)
    label = np.select([distance < 0.5, distance < 1], [2, 5], 0)
    level = np.select([label == 2, label == 5], [0.9, 0.5], 0.1)
    image = level[:, None] + 0.05 * rng.standard_normal((shape[0], channels, *shape[1:]))
    weight = np.ones(shape, np.float32)
    acquired = np.arange(shape[0]) % interval == 0
    return Scan(image.astype(np.float32), label, weight, acquired, np.array(SPACING), 2)


def promise(scans):
    return {name: Lazy(lambda scan=scan: scan, name) for name, scan in scans.items()}


def train_with(data, setting, run):
    params = find_engine("nnunetv2", setting.params).params
    return train_nnunet(data, params, setting, run)


def make_data(training=None, validation=None):
    training = {"a.1": make_scan(1), "b": make_scan(2)} if training is None else training
    validation = {"v": make_scan(3)} if validation is None else validation
    return SegmentationData(promise(training), promise(validation), CLASSES)


@pytest.fixture
def setting(configuration):
    base = configuration("base")["parameters"]

    def make(trainer="nnUNetTrainer_1epoch", configuration="2d"):
        chosen = {"configuration": configuration, "trainer": trainer, "processes": 1}
        hardware = {"accelerator": "cpu", "devices": 1, "precision": "auto"}
        changes = {
            "engines": {"nnunetv2": {"kind": "nnunetv2", **chosen}},
            "hardware": hardware,
            "label_names": {0: "background", 2: "core", 5: "rim"},
        }
        params = SegmentationParams(**base["segmentation"] | changes)
        return Setting(params, AugmentationParams(**base["augmentation"]), seed=3)

    return make


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    root = tmp_path / "library"
    for path, text in {
        "experiment_planning/plan_and_preprocess_entrypoints.py": PLAN,
        "run/run_training.py": TRAIN,
        "training/nnUNetTrainer/variants/lengths.py": "class nnUNetTrainer_1epoch(nnUNetTrainer):",
    }.items():
        file = root / "nnunetv2" / path
        file.parent.mkdir(parents=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text)
    (root / "nnunetv2" / "__init__.py").touch()
    for name in [name for name in sys.modules if name.split(".")[0] == "nnunetv2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(root)
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


class Reports:
    """A run that notes what is reported and has nothing to resume from."""

    def __init__(self):
        self.rows = []
        self.run = Run(store=None, report=lambda values, epoch: self.rows.append((epoch, values)))


def read(path):
    return SimpleITK.ReadImage(str(path))


def test_images_lie_slices_first_with_their_spacing_and_an_image_per_channel(tmp_path):
    scan = make_scan(channels=2)
    export_raw(make_data({"a": scan}), tmp_path)
    for channel in range(2):
        image = read(tmp_path / "imagesTr" / f"a_{channel:04d}.nii.gz")
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), scan.image[:, channel])
        np.testing.assert_allclose(image.GetSpacing()[::-1], SPACING)


def test_labels_are_indices_of_classes_on_the_grid_of_the_image(tmp_path):
    scan = make_scan()
    export_raw(make_data({"a": scan}), tmp_path)
    label = read(tmp_path / "labelsTr" / "a.nii.gz")
    np.testing.assert_array_equal(np.array(CLASSES)[SimpleITK.GetArrayFromImage(label)], scan.label)
    np.testing.assert_allclose(label.GetSpacing()[::-1], SPACING)


def test_dataset_names_classes_without_intervals_and_no_ignore_label_where_all_is_known(tmp_path):
    split = export_raw(make_data(), tmp_path)
    described = json.loads((tmp_path / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "class 2": 1, "class 5": 2}
    assert described["channel_names"] == {"0": "channel 0"}
    assert described["numTraining"] == 3 == len(list((tmp_path / "imagesTr").iterdir()))
    assert split == {"train": ["a.1", "b"], "val": ["v"]}


def test_only_voxels_without_a_known_label_are_ignored(tmp_path):
    scan = make_scan()
    scan.weight[1, 3:5] = 0
    scan.weight[2] = 0.1  # counts in full
    scan.label[4, 0, 0] = 9  # no class
    export_raw(make_data({"a": scan}), tmp_path)
    ignored = SimpleITK.GetArrayFromImage(read(tmp_path / "labelsTr" / "a.nii.gz")) == len(CLASSES)
    expected = np.zeros(scan.label.shape, bool)
    expected[1, 3:5] = expected[4, 0, 0] = True
    np.testing.assert_array_equal(ignored, expected)
    labels = json.loads((tmp_path / "dataset.json").read_text())["labels"]
    assert labels["ignore"] == len(CLASSES) == max(labels.values())


def test_validation_knows_acquired_slices_only_while_training_uses_all(tmp_path):
    export_raw(make_data({"a": make_scan(interval=3)}, {"v": make_scan(interval=3)}), tmp_path)
    stored = {case: read(tmp_path / "labelsTr" / f"{case}.nii.gz") for case in "av"}
    ignored = {c: SimpleITK.GetArrayFromImage(image) == len(CLASSES) for c, image in stored.items()}
    assert not ignored["a"].any()
    assert [part.all() for part in ignored["v"]] == [False, True, True] * 2
    assert [part.any() for part in ignored["v"]] == [False, True, True] * 2


def test_a_case_without_labels_is_left_out(tmp_path):
    bare = make_scan()
    bare.weight[:] = 0
    split = export_raw(make_data({"a": make_scan(), "bare": bare}), tmp_path)
    assert split["train"] == ["a"]
    assert not list((tmp_path / "imagesTr").glob("bare*"))


@pytest.mark.parametrize(("part", "name"), [("training", "train"), ("validation", "val")])
def test_an_empty_part_of_the_split_is_refused(tmp_path, part, name):
    with pytest.raises(ValueError, match=f"got none of 0 for {name}"):
        export_raw(make_data(**{part: {}}), tmp_path)


def test_without_the_library_one_reads_what_to_install(monkeypatch, setting):
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'slicefill\[nnunet\]'"):
        train_with(make_data(), setting(), Reports().run)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'slicefill\[nnunet\]'"):
        load_nnunet({}, setting().params)


@pytest.mark.usefixtures("stand_in")
def test_an_unknown_trainer_is_refused_with_those_there_are(setting):
    with pytest.raises(ValueError, match=r"'nnUNetTrainer_7'.*there are nnUNetTrainer_1epoch"):
        train_with(make_data(), setting("nnUNetTrainer_7"), Reports().run)


@pytest.mark.usefixtures("stand_in")
def test_a_failure_says_what_the_library_said_and_leaves_no_files(tmp_path, monkeypatch, setting):
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    with pytest.raises(RuntimeError, match="out of memory, says the stand-in"):
        train_with(make_data(), setting(), Reports().run)
    assert not list(tmp_path.glob("slicefill-nnunet-*"))


@pytest.mark.usefixtures("stand_in")
def test_what_is_kept_are_tensors_and_plain_values(tmp_path, setting):
    reports = Reports()
    made = train_with(make_data(), setting(), reports.run)
    torch.save(made, tmp_path / "made.pt")
    kept = torch.load(tmp_path / "made.pt", weights_only=True)
    assert (kept["engine"], kept["trainer"], kept["configuration"], kept["epoch"]) == (
        "nnunetv2",
        "nnUNetTrainer_1epoch",
        "2d",
        2,
    )
    assert kept["plans"]["split"] == {"train": ["a.1", "b"], "val": ["v"]}
    assert kept["mirroring_axes"] == [0, 1]
    assert kept["validation"] == {"dice": 0.5}
    assert {"epoch": 2, "term": "train/loss", "value": 0.5} in kept["history"]
    torch.manual_seed(3)
    torch.testing.assert_close(kept["weights"]["w"], torch.rand(2))  # the seed of the setting
    assert [epoch for epoch, _ in reports.rows] == [1, 2]
    assert reports.rows[0][1] == {
        "train/loss": 1.5,
        "validation/loss": 2.0,
        "validation/pseudo_dice": 0.25,
    }


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="needs nnU-Net v2: pip install 'slicefill[nnunet]'")
@pytest.mark.parametrize("dims", ["2d", "3d_fullres"])
def test_one_epoch_of_the_real_library_learns_to_segment(tmp_path, setting, dims):
    training = {f"t{seed}": make_scan(seed, interval=2) for seed in range(5)}
    training["t0"].weight[1] = 0
    reports, chosen = Reports(), setting(configuration=dims)
    made = train_with(make_data(training, {"v": make_scan(7, interval=2)}), chosen, reports.run)
    torch.save(made, tmp_path / "made.pt")
    predictor = load_nnunet(torch.load(tmp_path / "made.pt", weights_only=True), chosen.params)
    scan = make_scan(8, shape=(7, 22, 26))
    probabilities = predictor(scan)
    assert probabilities.shape == (3, 7, 22, 26)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    agreement = (np.array(CLASSES)[probabilities.argmax(0)] == scan.label).mean()
    assert agreement > 0.9, agreement
    assert made["validation"]["dice"] > 0.8
    assert [epoch for epoch, _ in reports.rows] == [1]
    assert not (Path.cwd() / "nnUNet_raw").exists()
