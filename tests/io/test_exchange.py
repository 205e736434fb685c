"""Volumes go to arrays, nibabel and SimpleITK images and come back as they were."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

import slicefill
from slicefill.ingestion.checks import BadCase
from slicefill.io.exchange import from_array, from_itk, from_nibabel, kind_of, to_itk, to_nibabel
from slicefill.io.scan_files import WRITTEN, write_scan, written_suffix

TYPES = ["u1", "i2", ">i2", "u2", "i4", "f4", "f8"]


def same(volume, other):
    assert volume.stored.dtype.newbyteorder("=") == other.stored.dtype.newbyteorder("=")
    np.testing.assert_array_equal(volume.stored, other.stored)
    np.testing.assert_allclose(volume.affine, other.affine, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_volume_survives_the_way_through_nibabel_and_itk(case, dtype):
    image = case(dtype).image
    held = to_nibabel(image)
    np.testing.assert_allclose(held.affine, image.affine)
    assert held.header["qform_code"] == image.header["qform_code"]
    same(from_nibabel(held), image)
    same(from_itk(to_itk(image)), image)


def test_channels_survive(case):
    image = case(shape=(5, 6, 4, 3)).image
    same(from_itk(to_itk(image)), image)
    same(from_nibabel(to_nibabel(image)), image)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_series_of_time_points_stays_one(tmp_path, suffix):
    stored = np.random.default_rng(0).integers(0, 99, (3, 4, 5, 6)).astype(np.int16)
    image = SimpleITK.GetImageFromArray(stored, isVector=False)
    image.SetSpacing((1, 1, 4, 2.5))
    image.SetOrigin((1, 2, 3, 0.5))
    SimpleITK.WriteImage(image, tmp_path / f"a{suffix}")
    case = slicefill.read(tmp_path / f"a{suffix}")
    write_scan(slicefill.impute(case, method="linear", count=1).image, tmp_path / f"b{suffix}")
    of_file = SimpleITK.ReadImage(tmp_path / f"b{suffix}")
    for denser in (of_file, slicefill.impute(image, method="linear", count=1)):
        assert denser.GetSize() == (6, 5, 7, 3)
        assert denser.GetNumberOfComponentsPerPixel() == 1
        assert denser.GetSpacing() == (1, 1, 2, 2.5)
        assert denser.GetOrigin() == image.GetOrigin()
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(denser)[:, ::2], stored)


def test_a_series_whose_header_says_no_distance_in_time_is_written(case):
    image = case(shape=(5, 6, 4, 3)).image
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 0
    assert to_itk(image).GetSpacing()[3] == 1


def test_itk_sees_the_voxels_where_nibabel_sees_them(case):
    image = case().image
    itk = to_itk(image)
    index = (2, 3, 1)
    lps = np.array(itk.TransformIndexToPhysicalPoint(index))
    np.testing.assert_allclose(lps * [-1, -1, 1], image.affine[:3] @ [*index, 1], atol=1e-4)
    assert itk[index] == image.stored[index]


def test_a_slope_is_kept_by_nibabel_and_refused_by_itk(case):
    image = case().image.with_stored(case().image.stored, slope_intercept=(0.5, -3.0))
    held = to_nibabel(image)
    np.testing.assert_allclose(held.get_fdata(), image.stored * 0.5 - 3)
    assert from_nibabel(held).slope_intercept == (0.5, -3.0)
    with pytest.raises(ValueError, match=r"ends in \.nii\.gz"):
        to_itk(image)


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_what_is_written_is_read_by_others_as_it_was(case, tmp_path, suffix, dtype):
    image, path = case(dtype).image, tmp_path / f"a{suffix}"
    write_scan(image, path)
    itk = suffix in (".nrrd", ".mha")
    again = from_itk(SimpleITK.ReadImage(path)) if itk else from_nibabel(nib.load(path))
    same(again, image)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_format_that_is_not_written_is_refused(case, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.nii\.gz"):
        write_scan(case().image, tmp_path / "a.png")
    with pytest.raises(ValueError, match="MGZ cannot hold voxels of type float64"):
        write_scan(case("f8").image, tmp_path / "a.mgz")
    assert not list(tmp_path.iterdir())
    assert written_suffix("a.png") == ".nii.gz"


def test_an_array_needs_its_spacing_and_nothing_else_does(case):
    with pytest.raises(ValueError, match="three numbers above 0"):
        from_array(np.zeros((3, 3, 3)), (1, 0, 1))
    with pytest.raises(ValueError, match="three numbers above 0"):
        from_array(np.zeros((3, 3, 3)), (1, np.nan, 1))
    with pytest.raises(ValueError, match="integers or floats of 4 or 8 bytes"):
        from_array(np.zeros((3, 3, 3), np.float16), (1, 1, 1))
    with pytest.raises(ValueError, match="expected an array"):
        from_array(np.zeros((3, 3)), (1, 1, 1))
    with pytest.raises(ValueError, match="voxel_spacing: expected it for an array"):
        slicefill.impute(np.zeros((3, 3, 3)))
    with pytest.raises(TypeError, match="expected a path, a NumPy array"):
        slicefill.impute([1, 2, 3])


def test_what_comes_out_is_of_the_kind_that_went_in(case, tmp_path):
    made = case()
    options = {"method": "linear", "count": 2}
    kinds = {
        "nibabel": (to_nibabel(made.image), to_nibabel(made.label)),
        "itk": (to_itk(made.image), to_itk(made.label)),
    }
    outs = {name: slicefill.impute(*pair, **options) for name, pair in kinds.items()}
    spacing = made.image.spacing
    array = slicefill.impute(made.image.stored, made.label.stored, voxel_spacing=spacing, **options)
    write_scan(made.image, tmp_path / "a.nii.gz")
    write_scan(made.label, tmp_path / "b.nii.gz")
    file = slicefill.impute(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", **options)
    assert slicefill.verify(array, made.image.stored, voxel_spacing=spacing) == []
    slicefill.write(array, tmp_path / "array.nii.gz")
    assert slicefill.verify(file, tmp_path / "a.nii.gz") == []  # the image alone
    assert isinstance(outs["nibabel"], nib.Nifti1Image)
    assert isinstance(outs["itk"], SimpleITK.Image)
    assert isinstance(file, nib.Nifti1Image)
    expected = np.asarray(array)
    np.testing.assert_array_equal(expected[..., ::3], made.image.stored)
    assert array.label.dtype == made.label.stored.dtype
    for out, volume in [
        (outs["nibabel"], from_nibabel),
        (outs["itk"], from_itk),
        (file, from_nibabel),
    ]:
        np.testing.assert_array_equal(volume(out).stored, expected)
        np.testing.assert_array_equal(volume(out.label).stored, np.asarray(array.label))
        np.testing.assert_array_equal(volume(out.mask).stored[0, 0], [0, 1, 1] * 3 + [0])
        np.testing.assert_allclose(volume(out.confidence).stored, np.asarray(array.confidence))
        assert out.record["count"] == 2
        assert slicefill.verify(out, made) == []


def test_images_that_a_caller_holds_are_checked_as_files_are():
    stored, affine = np.arange(120, dtype=np.int16).reshape(6, 5, 4), np.diag([1.0, 1, 4, 1])
    sound = nib.Nifti1Image(stored, affine)
    metres, moved = nib.Nifti1Image(stored, affine), nib.Nifti1Image(stored, affine)
    metres.header.set_xyzt_units("meter")
    moved.set_sform(affine, 1)
    moved.set_qform(affine + np.outer([30, 0, 0, 0], [0, 0, 0, 1]), 1)
    for bad, told in ((metres, "a header in mm, found meter"), (moved, "corners 30 mm apart")):
        with pytest.raises(BadCase, match=f"scan: .*{told}"):
            slicefill.impute(bad, method="linear", count=1)
        with pytest.raises(BadCase, match=f"label: .*{told}"):
            slicefill.impute(sound, bad, method="linear", count=1)
    with pytest.raises(BadCase, match="a volume of three axes, found shape 8x9"):
        slicefill.impute(SimpleITK.Image([8, 9], SimpleITK.sitkInt16), method="linear", count=1)


def test_mgh_images_come_back_as_such(case):
    image = case().image
    out = slicefill.impute(nib.MGHImage(image.stored, image.affine), method="linear", count=1)
    assert isinstance(out, nib.MGHImage)
    assert out.label is None
    np.testing.assert_array_equal(np.asarray(out.dataobj)[..., ::2], image.stored)


def test_what_else_a_method_made_is_handed_back(case):
    made = case()
    maps = dict.fromkeys(("synthetic_mask", "confidence", "spread", "sample_1"), made.image)
    for given in (made.image.stored, to_nibabel(made.image), to_itk(made.image)):
        packed = kind_of(given).pack(replace(made, maps=maps))
        assert set(packed.maps) == {"spread", "sample_1"}
        assert type(packed.maps["spread"]) is type(packed.mask)
