"""`slicefill segment` needs nothing but a scan and a checkpoint."""

import numpy as np
import pytest
import torch

from slicefill.api import read
from slicefill.command_line import main
from slicefill.io.checkpoints import write_checkpoint
from slicefill.io.scan_files import write_scan
from slicefill.segmentation.networks import build_network
from slicefill.serving import array_segmenter, case_segmenter


@pytest.fixture
def model(tmp_path):
    """A network of random weights, with what a training keeps beside them."""
    torch.manual_seed(0)
    design = {
        "dims": 2, "channels": 1, "classes": 2, "width": 4, "dropout": 0.0, "patch": [32, 32],
    }  # fmt: skip
    checkpoint = {
        "engine": "unet2d",
        "design": design,
        "weights": build_network(design).state_dict(),
        "classes": [0, 3],
        "label_names": {0: "background", 3: "liver"},
        "window": {"kind": "percentile", "low": 0.5, "high": 99.5},
        "through_plane": "auto",
    }
    path = tmp_path / "models" / "unet2d_0.pt"
    write_checkpoint(checkpoint, path)
    return path


def test_a_scan_is_labelled_on_its_own_grid_with_the_ids_of_the_training(
    case, model, tmp_path, capsys, configuration
):
    scan = case(shape=(20, 24, 5))
    write_scan(scan.image, tmp_path / "scan.nii.gz")
    assert main(["segment", str(tmp_path / "scan.nii.gz"), "--model", str(model)]) == 0
    assert "1 of 1 scans segmented" in capsys.readouterr().out
    label = read(tmp_path / "scan_label.nii.gz").image
    np.testing.assert_allclose(label.affine, scan.image.affine, atol=1e-5)
    assert set(np.unique(label.stored)) <= {0, 3}
    parameters = configuration("tiny")["parameters"]
    names = {0: "background", 3: "liver"}
    segmentation = {**parameters["segmentation"], "label_names": names}
    sections = {"augmentation": parameters["augmentation"], "segmentation": segmentation}
    served = array_segmenter(model, sections)
    stored = scan.image.intensities()
    np.testing.assert_array_equal(label.stored, served(stored, scan.image.spacing))


def test_nothing_is_replaced_and_one_bad_scan_does_not_stop_the_others(
    case, model, tmp_path, capsys
):
    folder = tmp_path / "scans"
    write_scan(case(shape=(20, 24, 5)).image, folder / "one.nii.gz")
    write_scan(case(shape=(20, 24, 5)).image, folder / "two.nii.gz")
    (folder / "two.nii.gz").write_bytes(b"\x1f\x8b")
    command = ["segment", str(folder), str(tmp_path / "out"), "--model", str(model)]
    assert main(command) == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one_label.nii.gz"]
    assert main(command) == 3
    assert "--overwrite" in capsys.readouterr().err


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    write_checkpoint({"kind": "slice_imputation"}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="expected a segmentation network"):
        case_segmenter(str(tmp_path / "other.pt"))
