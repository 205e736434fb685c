"""`preset=isotropic` and `--pipelines=segmentation`: one network, every way to the fine grid."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

CASE = "virtual-04"  # the one in the test split
WAYS = "preset=isotropic,scoring.slices=all"


@pytest.fixture(scope="module")
def compared(shared_project, kedro):
    done = kedro(shared_project, "run", "--env=tiny", "--pipelines=comparison", "--params", WAYS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return shared_project


def test_every_way_is_scored_at_full_resolution_by_one_network(compared):
    data = compared / "data"
    scores = pd.read_csv(data / "08_reporting/tiny/S_x4/isotropic/scores.csv")
    assert len(scores) == 12
    assert {"dice_mean", "dice_mean_all_slices", "assd_mean", "hd95_mean"} <= set(scores)
    networks = (data / "06_models/tiny/S_x4/segmentation").rglob("*.pt")
    assert {path.parent.name for path in networks} == {"none"}
    output = data / "07_model_output/tiny/S_x4"
    truth = nib.load(data / f"02_intermediate/tiny/cases/{CASE}/label.nii.gz")
    for method in scores["method"]:
        found = nib.load(output / f"predictions/{method}/unet2d_0/{CASE}/prediction.nii.gz")
        np.testing.assert_allclose(found.affine, truth.affine, atol=1e-5)
    assert not (output / "imputed/linear/virtual-01").exists()  # no network learns from it


def test_acquired_slices_keep_their_labels_whatever_the_way(compared):
    output = compared / "data/07_model_output/tiny/S_x4/predictions"

    def acquired(method):
        path = output / f"{method}/unet2d_0/{CASE}/prediction.nii.gz"
        return np.asarray(nib.load(path).dataobj)[:, :, ::4]

    for method in ("linear_softmax", "shape_based_labels", "cost_free", "moved_labels"):
        np.testing.assert_array_equal(acquired(method), acquired("nearest_labels"))


def test_the_pipeline_segments_every_scan_isotropically_by_the_same_network(compared, kedro):
    networks = compared / "data/06_models/tiny/S_x4/segmentation/none/unet2d_0.pt"
    before = networks.stat().st_mtime_ns
    done = kedro(
        compared,
        *("run", "--env=tiny", "--pipelines=segmentation"),
        *("--params", "segmentation.output=isotropic"),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Segmented" in done.stdout
    assert networks.stat().st_mtime_ns == before  # trained by the comparison
    made = compared / "data/07_model_output/tiny/S_x4/segmentations/isotropic"
    assert len(list(made.glob("*/prediction.nii.gz"))) == 4
    record = json.loads((made / CASE / "record.json").read_text())
    assert record["imputed_by"] == "pretrained"
    fused = compared / f"data/07_model_output/tiny/S_x4/predictions/fused/unet2d_0/{CASE}"
    found, same = (nib.load(path / "prediction.nii.gz") for path in (made / CASE, fused))
    np.testing.assert_array_equal(found.affine, same.affine)
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(same.dataobj))
    confidence = nib.load(made / CASE / "confidence.nii.gz").get_fdata()
    assert 0.25 <= confidence.min() <= confidence.max() <= 1


def test_a_trained_network_needs_no_training(compared, kedro):
    network = compared / "data/06_models/tiny/S_x4/segmentation/none/unet2d_0.pt"
    done = kedro(
        compared,
        *("run", "--env=tiny", "--pipelines=segmentation"),
        *("--params", f"segmentation.network={network},seed=3"),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "epoch" not in done.stderr
    made = compared / f"data/07_model_output/tiny/S_x4/segmentations/acquired/{CASE}"
    assert nib.load(made / "prediction.nii.gz").shape[2] == 9
