"""`slicefill segment` needs nothing but a scan and a checkpoint."""

import sys

import numpy as np
import pytest
import torch

from slicefill.api import read
from slicefill.command_line import main
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.io.checkpoints import read_checkpoint, write_checkpoint
from slicefill.io.scan_files import write_scan
from slicefill.params.imputation import imputation_params
from slicefill.segmentation.networks import build_network
from slicefill.serving import array_segmenter, case_segmenter, isotropic_segmenter
from slicefill.types import Case


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


def test_label_maps_among_the_scans_are_no_scans(case, model, tmp_path, capsys):
    write_scan(case(shape=(20, 24, 5)).image, tmp_path / "scans" / "one.nii.gz")
    (tmp_path / "scans" / "notes.txt").write_text("about the scan")
    (tmp_path / "scans" / "two.nii.gz").symlink_to("nowhere.nii.gz")
    command = ["segment", str(tmp_path / "scans"), str(tmp_path / "scans" / "found")]
    for _ in range(2):
        assert main([*command, "--model", str(model), "--overwrite"]) == 3
        said = capsys.readouterr()
        assert "1 of 2 scans segmented" in said.out
        assert "left aside: notes.txt" in said.out
        assert said.err.count("two: ") == 1


def test_a_file_in_the_place_of_the_confidence_is_not_replaced(case, model, tmp_path, capsys):
    write_scan(case(shape=(20, 24, 5)).image, tmp_path / "scan.nii.gz")
    other = tmp_path / "scan_isotropic_label_confidence.nii.gz"
    other.write_text("of another program")
    command = ["segment", str(tmp_path / "scan.nii.gz"), "--model", str(model)]
    assert main([*command, "--isotropic", "--method", "linear"]) == 3
    assert f"{other} exists" in capsys.readouterr().err
    assert other.read_text() == "of another program"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("junk.pt", b"junk", "a TorchScript file needs another suffix"),
        ("junk.ts", b"junk", "expected a TorchScript file"),
        ("broken_network.py", b"def f(:", "can be imported, got SyntaxError"),
    ],
)
def test_what_is_no_network_is_said(case, tmp_path, capsys, monkeypatch, name, content, message):
    write_scan(case(shape=(20, 24, 5)).image, tmp_path / "scan.nii.gz")
    (tmp_path / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    place = f"{name[:-3]}:f" if name.endswith(".py") else str(tmp_path / name)
    with pytest.raises(SystemExit, match="2"):
        main(["segment", str(tmp_path / "scan.nii.gz"), "--model", place])
    assert message in capsys.readouterr().err


def test_a_label_map_beside_the_scan_plays_no_part(case, model, tmp_path):
    write_scan(case(shape=(20, 24, 5)).image, tmp_path / "scan.nii.gz")
    write_scan(case(shape=(8, 8, 5)).label, tmp_path / "scan_seg.nii.gz")
    assert main(["segment", str(tmp_path / "scan.nii.gz"), "--model", str(model)]) == 0


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    write_checkpoint({"kind": "slice_imputation"}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="expected a segmentation network"):
        case_segmenter(str(tmp_path / "other.pt"))


def test_isotropic_labels_lie_on_the_grid_of_the_imputed_scan_with_their_confidence(
    case, model, tmp_path, capsys
):
    scan = case(shape=(20, 24, 5))
    write_scan(scan.image, tmp_path / "scan.nii.gz")
    command = ["segment", str(tmp_path / "scan.nii.gz"), "--model", str(model)]
    isotropic = [*command, "--isotropic", "--method", "linear", "--count", "3"]
    assert main(isotropic) == 0, capsys.readouterr().err
    assert main(command) == 0
    fine = read(tmp_path / "scan_isotropic_label.nii.gz").image
    native = read(tmp_path / "scan_label.nii.gz").image
    rule = imputation_params(count=3)
    imputed = impute_case(Case(scan.image), load_named("linear", rule), rule).image
    assert fine.stored.shape == imputed.stored.shape == (20, 24, 17)
    np.testing.assert_allclose(fine.affine, imputed.affine, atol=1e-5)
    # a network of slices finds on acquired ones what it finds without the others
    agree = (fine.stored[..., ::4] == native.stored).mean()
    assert agree > 0.99  # but for rounding where two classes are level
    confidence = read(tmp_path / "scan_isotropic_label_confidence.nii.gz").image
    np.testing.assert_allclose(confidence.affine, fine.affine, atol=1e-5)
    assert confidence.intensities().min() >= 0.5
    assert confidence.intensities().max() <= 1


def test_a_dense_scan_is_segmented_as_it_is(case, model, tmp_path):
    scan = case(shape=(20, 24, 6), affine=np.eye(4))
    predict = isotropic_segmenter(str(model), "linear", imputation_params())
    made, native = predict(scan), case_segmenter(str(model))(scan)
    assert made.label.stored.shape == (20, 24, 6)
    assert (made.label.stored == native.label.stored).mean() > 0.99


def test_any_trained_network_segments_isotropically(case, tmp_path, monkeypatch):
    """A function sees intensities as they are; its labels are the indices of its classes."""
    (tmp_path / "foreign.py").write_text(
        "import numpy as np\n\n\n"
        "def threshold(scan):\n"
        "    inside = (scan.image[:, 0] > 100).astype(np.float32)\n"
        "    return np.stack([1 - inside, inside])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    scan = case("f4", shape=(8, 9, 5))
    rule = imputation_params(count=1)
    made = isotropic_segmenter("foreign:threshold", "linear", rule)(scan)
    np.testing.assert_array_equal(made.label.stored[..., ::2], scan.image.stored > 100)
    assert made.record["predict"] == "fused"
    assert made.record["imputed_by"] == "linear"
    sys.modules.pop("foreign")


def test_a_network_of_other_slices_is_used_with_a_warning(case, model, tmp_path, caplog):
    trained = {**read_checkpoint(model), "spacing": [1.0, 1.0, 1.0]}
    write_checkpoint(trained, tmp_path / "fine.pt")
    case_segmenter(str(tmp_path / "fine.pt"))(case(shape=(20, 24, 5)))
    assert "4 mm apart, those that the network learned from 1 mm" in caplog.text
    caplog.clear()
    write_checkpoint({**trained, "spacing": [3.0, 1.0, 1.0]}, tmp_path / "like.pt")
    case_segmenter(str(tmp_path / "like.pt"))(case(shape=(20, 24, 5)))
    assert not caplog.text


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--method", "linear"], "--method: expected --isotropic"),
        (["--count", "3"], "--count: expected --isotropic"),
        (["--isotropic", "--method", "nothing"], "expected pretrained"),
    ],
)
def test_options_that_need_another_are_refused(case, model, tmp_path, capsys, more, reason):
    write_scan(case(shape=(20, 24, 5)).image, tmp_path / "scan.nii.gz")
    with pytest.raises(SystemExit):
        main(["segment", str(tmp_path / "scan.nii.gz"), "--model", str(model), *more])
    assert reason in capsys.readouterr().err


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a network: a checkpoint \(\.pt\)"):
        case_segmenter(str(tmp_path / "nothing"))


def test_an_exact_grid_has_no_isotropic_segmentation(case, model):
    rule = imputation_params(spacing=1.5, exact=True)
    with pytest.raises(ValueError, match="exact: expected a grid that keeps the acquired slices"):
        isotropic_segmenter(str(model), "linear", rule)(case(shape=(20, 24, 5)))


def test_a_scan_of_other_channels_is_refused(case, model):
    with pytest.raises(ValueError, match=r"expected 1 channel\(s\), .* got 2"):
        case_segmenter(str(model))(case(shape=(20, 24, 5, 2)))
