"""Folders that nnU-Net trained elsewhere: what its network sees, and which folders are refused."""

import json
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch

from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.engines.nnunetv2.results import read_labels, read_results
from slicefill.segmentation.scans import make_scan
from slicefill.types import Case, Volume

# Stands in for the library: it keeps what the network would see, and answers by brightness.
PREDICT = """
import pathlib, numpy as np, torch
class nnUNetPredictor:
    def __init__(self, tile_step_size, perform_everything_on_device, device, allow_tqdm):
        self.network = torch.nn.Identity()
    def initialize_from_trained_model_folder(self, folder, use_folds):
        self.folder = pathlib.Path(folder)
        assert use_folds is None and list(self.folder.glob("fold_*/checkpoint_final.pth"))
    def predict_single_npy_array(self, image, properties, save_or_return_probabilities):
        assert image.flags["C_CONTIGUOUS"] and image.dtype == np.float32
        np.savez(self.folder / "seen.npz", image=image, spacing=properties["spacing"])
        bright = (image[0] > 500).astype(np.float32)
        return bright > 0, np.stack([1 - bright, bright])
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    file = tmp_path / "library/nnunetv2/inference/predict_from_raw_data.py"
    file.parent.mkdir(parents=True)
    for folder in (file.parent, file.parents[1]):
        (folder / "__init__.py").touch()
    file.write_text(PREDICT)
    for name in [name for name in sys.modules if name.split(".")[0] == "nnunetv2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path / "library")


@pytest.fixture
def results(tmp_path):
    """A folder of results, as small as it may be."""
    folder = tmp_path / "Dataset007_heads/nnUNetTrainer__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    torch.save({}, folder / "fold_0/checkpoint_final.pth")
    (folder / "plans.json").write_text("{}")
    described = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "head": 1, "ignore": 2}}
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


@pytest.fixture
def predict(configuration, results):
    values = configuration("tiny")["parameters"]["segmentation"]
    hardware = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    return read_results(results, SegmentationParams(**{**values, "hardware": hardware}))


def scan_of(volume, configuration):
    rule = configuration("tiny")["parameters"]["augmentation"]
    seen = AugmentationParams(**{**rule, "window": None, "through_plane": "auto"})
    return make_scan(Case(volume), None, None, seen)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("through_plane", [0, 1, 2])
def test_its_network_sees_a_scan_as_nnunet_reads_the_file(
    tmp_path, configuration, predict, results, through_plane
):
    """nnU-Net reads files by SimpleITK; here they are read anew in the same way."""
    spacing = np.insert([0.7, 1.1], through_plane, 4.0)
    stored = np.random.default_rng(0).integers(0, 1000, (5, 6, 7)).astype(np.int16)
    image = nib.Nifti1Image(stored, np.diag([*spacing, 1.0]))
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = scan_of(Volume(stored, image.header), configuration)
    assert scan.axis == through_plane
    found = predict(scan)
    read = SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))
    seen = np.load(results / "seen.npz")
    np.testing.assert_array_equal(seen["image"], SimpleITK.GetArrayFromImage(read)[None])
    np.testing.assert_allclose(seen["spacing"], read.GetSpacing()[::-1], rtol=1e-6)
    bright = np.moveaxis(stored > 500, through_plane, 0)
    np.testing.assert_array_equal(found, np.stack([~bright, bright]))


@pytest.mark.usefixtures("stand_in")
def test_a_scan_of_other_channels_is_refused(configuration, predict):
    image = nib.Nifti1Image(np.zeros((5, 6, 7, 2), np.int16), np.diag([1.0, 1.0, 4.0, 1.0]))
    scan = scan_of(Volume(np.asarray(image.dataobj), image.header), configuration)
    with pytest.raises(ValueError, match=r"expected 1 channel.* got 2"):
        predict(scan)


def test_labels_are_those_of_its_dataset_without_ignore(results):
    assert read_labels(results) == {0: "background", 1: "head"}


def test_regions_are_refused(results):
    (results / "dataset.json").write_text(json.dumps({"labels": {"b": 0, "whole": [1, 2]}}))
    with pytest.raises(ValueError, match="one label per voxel, got regions"):
        read_labels(results)


@pytest.mark.usefixtures("stand_in")
def test_a_training_that_was_not_finished_is_refused_and_copied_as_it_says(results, configuration):
    params = SegmentationParams(**configuration("tiny")["parameters"]["segmentation"])
    final = results / "fold_0/checkpoint_final.pth"
    best = final.rename(final.with_name("checkpoint_best.pth"))
    with pytest.raises(ValueError, match=r"got fold_0/checkpoint_best\.pth; .*or copy"):
        read_results(results, params)
    final.write_bytes(best.read_bytes())
    assert callable(read_results(results, params))


def test_the_folder_above_is_refused_with_the_one_that_is_meant(results, configuration):
    params = SegmentationParams(**configuration("tiny")["parameters"]["segmentation"])
    with pytest.raises(ValueError, match="such as nnUNetTrainer__nnUNetPlans__3d_fullres"):
        read_results(results.parent, params)
