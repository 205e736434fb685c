"""Imputation as a MONAI transform, with MONAI itself."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, EnsureTyped, LoadImaged, SaveImaged, ScaleIntensityd

from slicefill import api
from slicefill.adapters.monai import Imputed
from slicefill.io.case_folder import write_volume


@pytest.fixture
def files(case, tmp_path):
    made = case()
    write_volume(made.image, tmp_path / "scan.nii.gz")
    write_volume(made.label, tmp_path / "label.nii.gz")
    return {"image": str(tmp_path / "scan.nii.gz"), "label": str(tmp_path / "label.nii.gz")}


LOAD = LoadImaged(["image", "label"], ensure_channel_first=True)


def test_a_scan_and_its_label_are_imputed_as_by_the_api(files):
    done = Compose([LOAD, Imputed("image", "label", method="linear", count=3)])(files)
    expected = api.impute(api.read(files["image"], files["label"]), method="linear", count=3)
    loaded = LOAD(files)
    assert done["image"].dtype == loaded["image"].dtype
    np.testing.assert_array_equal(done["image"][..., ::4], loaded["image"])
    between = expected.image.intensities()  # rounded to the integers of the file
    np.testing.assert_allclose(done["image"][0], between, atol=0.51)
    np.testing.assert_array_equal(done["label"][0], expected.label.stored)
    for key in ("image", "label"):
        np.testing.assert_allclose(done[key].affine, expected.image.affine, atol=1e-5)
        assert done[key].meta["filename_or_obj"] == files[key]


def test_spacing_chooses_the_grid(files):
    done = Compose([LOAD, Imputed("image", spacing=1.0, method="linear")])(files)
    old, new = (one.pixdim[2].item() for one in (LOAD(files)["image"], done["image"]))
    assert old == pytest.approx(4)
    assert new == pytest.approx(1)
    assert done["label"].shape == LOAD(files)["label"].shape  # was not asked for


def test_it_composes_loads_in_workers_and_saves(files, tmp_path):
    steps = [
        LOAD,
        Imputed(["image"], ["label"]),
        ScaleIntensityd("image"),
        EnsureTyped(["image", "label"], dtype=torch.float32),
    ]
    loader = DataLoader(Dataset([files, files], Compose(steps)), batch_size=2, num_workers=1)
    (batch,) = loader
    assert isinstance(batch["image"], MetaTensor)
    assert batch["image"].shape == batch["label"].shape
    assert batch["image"].shape[-1] > LOAD(files)["image"].shape[-1]
    done = Compose(steps)(files)
    save = SaveImaged("image", output_dir=tmp_path / "out", resample=False, print_log=False)
    save(done)
    (saved,) = (tmp_path / "out").rglob("*.nii.gz")
    np.testing.assert_allclose(nib.load(saved).affine, done["image"].affine, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_channels_move_alike_and_keep_their_type(files, dtype):
    scan = LOAD(files)["image"]
    two = MetaTensor(torch.cat([scan, -scan]).to(dtype), affine=scan.affine)
    done = Imputed("image", method="cubic", count=1)({"image": two})["image"]
    assert done.dtype == dtype
    assert done.shape == (2, *scan.shape[1:3], 2 * scan.shape[3] - 1)
    assert torch.equal(done[..., ::2], two)


def test_what_cannot_be_imputed_is_refused(files):
    with pytest.raises(TypeError, match="image: expected a MetaTensor"):
        Imputed("image")({"image": torch.zeros(1, 4, 4, 4)})
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Imputed("image", params={"cuont": 1})
    with pytest.raises(ValueError, match="expected one for each"):
        Imputed(["one", "two"], "label")
    loaded = LOAD(files)
    loaded["label"].affine = loaded["label"].affine + 1
    with pytest.raises(ValueError, match=r"corners .* mm apart"):
        Imputed("image", "label", method="linear")(loaded)
    del loaded["label"]
    with pytest.raises(KeyError, match="label"):
        Imputed("image", "label", method="linear")(loaded)
    assert "label" not in Imputed("image", "label", method="linear", allow_missing_keys=True)(
        loaded
    )
