import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from slicefill.io import storage
from slicefill.io.case_folder import (
    read_case,
    read_prediction,
    read_volume,
    write_case,
    write_prediction,
    write_volume,
)
from slicefill.types import Prediction

DTYPES = ["u1", "i1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [(1, 0), (0.5, -10.25), (-2, 3)])
@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
def test_numbers_scale_and_kind_come_back_as_stored(case, tmp_path, dtype, scale, kind):
    image = case(dtype, scale=scale, kind=kind).image
    write_volume(image, tmp_path / "v.nii.gz")
    back = read_volume(tmp_path / "v.nii.gz")
    assert back.stored.dtype.str == image.stored.dtype.str
    assert back.stored.tobytes() == image.stored.tobytes()
    assert back.slope_intercept == scale
    assert type(back.header) is kind
    seen = nib.load(tmp_path / "v.nii.gz").get_fdata()
    np.testing.assert_array_equal(seen, image.stored.astype(float) * scale[0] + scale[1])


@pytest.mark.parametrize("extreme", ["u1", "<i2", "<u2", "<i4", "<i8", "<f8"])
def test_the_largest_numbers_of_a_dtype_survive(volume, tmp_path, extreme):
    dtype = np.dtype(extreme)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    stored = np.resize(np.array([limits.min, limits.max, 1], dtype), (2, 3, 2))
    write_volume(volume(stored), tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii.gz").stored, stored)


def test_numbers_that_are_none_survive(volume, tmp_path):
    stored = np.resize(np.array([np.nan, np.inf, -np.inf, -0.0], np.float32), (2, 2, 2))
    write_volume(volume(stored), tmp_path / "v.nii.gz")
    assert read_volume(tmp_path / "v.nii.gz").stored.tobytes() == stored.tobytes()


@pytest.mark.parametrize("codes", [(1, 1), (2, 0), (0, 1), (0, 0), (4, 2)])
def test_both_forms_and_their_codes_come_back(case, tmp_path, codes):
    image = case(codes=codes).image
    write_volume(image, tmp_path / "v.nii.gz")
    back = nib.load(tmp_path / "v.nii.gz")
    for form in ("get_sform", "get_qform"):
        expected, code = getattr(image.header, form)(coded=True)
        found, found_code = getattr(back.header, form)(coded=True)
        assert found_code == code
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-5)


def test_itk_sees_the_same_numbers_at_the_same_place(case, tmp_path):
    image = case().image
    write_volume(image, tmp_path / "v.nii.gz")
    seen = SimpleITK.ReadImage(str(tmp_path / "v.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(seen).T, image.stored)
    left_posterior = nib.affines.apply_affine(image.affine, [3, 2, 1]) * [-1, -1, 1]
    place = seen.TransformIndexToPhysicalPoint((3, 2, 1))
    np.testing.assert_allclose(place, left_posterior, atol=1e-3)


def test_a_case_comes_back_whole(case, tmp_path):
    written = replace(
        case(shape=(5, 4, 3, 2)), record={"n": np.int64(3), "where": np.eye(2), "name": "ä"}
    )
    written = replace(written, maps={"confidence": written.label})
    write_case(written, tmp_path / "method" / "c1")
    back = read_case(tmp_path / "method" / "c1")
    np.testing.assert_array_equal(back.image.stored, written.image.stored)
    np.testing.assert_array_equal(back.label.stored, written.label.stored)
    assert list(back.maps) == ["confidence"]
    assert back.record == {"n": 3, "where": [[1.0, 0.0], [0.0, 1.0]], "name": "ä"}


def test_a_case_without_a_label_has_none(case, tmp_path):
    write_case(replace(case(), label=None), tmp_path / "c1")
    assert read_case(tmp_path / "c1").label is None


def test_writing_twice_gives_the_same_bytes(case, tmp_path):
    for name in ("a", "b"):
        write_case(case(), tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def interrupt_after(monkeypatch, count):
    """Let so many files be written, then stop in the middle of the next one."""
    written = []

    def flush(file):
        if len(written) == count:
            raise KeyboardInterrupt
        written.append(file)

    monkeypatch.setattr(storage.os, "fsync", flush)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_an_interrupted_write_leaves_no_case(case, tmp_path, monkeypatch, count):
    with monkeypatch.context() as patch:
        interrupt_after(patch, count)
        with pytest.raises(KeyboardInterrupt):
            write_case(case(), tmp_path / "c1")
    assert not (tmp_path / "c1").exists()
    write_case(case(), tmp_path / "c1")  # what was left lying about is no hindrance
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c1"]


def test_an_interrupted_write_leaves_the_old_case_as_it_was(case, tmp_path, monkeypatch):
    write_case(case(seed=1), tmp_path / "c1")
    interrupt_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        write_case(case(seed=2), tmp_path / "c1")
    old = read_case(tmp_path / "c1")
    np.testing.assert_array_equal(old.image.stored, case(seed=1).image.stored)
    assert old.record == {"seed": 1}


def test_a_new_case_replaces_all_of_the_old_one(case, tmp_path):
    write_case(case(seed=1), tmp_path / "c1")
    write_case(replace(case(seed=2), label=None), tmp_path / "c1")
    assert sorted(p.name for p in (tmp_path / "c1").iterdir()) == ["image.nii.gz", "record.json"]


@pytest.mark.parametrize("damage", ["a bit of the checksum", "the end is missing"])
def test_a_damaged_file_is_refused(case, tmp_path, damage):
    """nibabel alone stops when it has its voxels, and takes both files for good ones."""
    write_volume(case().image, tmp_path / "v.nii.gz")
    content = bytearray((tmp_path / "v.nii.gz").read_bytes())
    content[-8] ^= 1  # RFC 1952: CRC32 and length in the last 8 bytes
    (tmp_path / "v.nii.gz").write_bytes(content if "bit" in damage else content[:-8])
    with pytest.raises((gzip.BadGzipFile, EOFError)):
        read_volume(tmp_path / "v.nii.gz")


def test_a_folder_without_an_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected image\.nii\.gz"):
        read_case(tmp_path)


@pytest.fixture
def prediction(case):
    """Class ids of a case and probabilities of three classes on the same grid."""
    label = case().label
    shares = np.random.default_rng(0).dirichlet(np.ones(3), label.stored.shape)
    return Prediction(label, label.with_stored(shares.astype(np.float32)), {"network": "unet2d"})


def test_a_prediction_comes_back_whole_and_in_place(prediction, tmp_path):
    write_prediction(prediction, tmp_path / "linear" / "c1")
    files = {"prediction.nii.gz", "softmax.nii.gz", "record.json"}
    assert {p.name for p in (tmp_path / "linear" / "c1").iterdir()} == files
    back = read_prediction(tmp_path / "linear" / "c1")
    for was, found in ((prediction.label, back.label), (prediction.softmax, back.softmax)):
        np.testing.assert_array_equal(found.stored, was.stored, strict=True)
        np.testing.assert_allclose(found.affine, was.affine, atol=1e-5)
    assert back.record == {"network": "unet2d"}


def test_probabilities_that_are_not_kept_leave_no_file(prediction, tmp_path):
    write_prediction(prediction, tmp_path / "c1")
    write_prediction(replace(prediction, softmax=None), tmp_path / "c1")
    assert read_prediction(tmp_path / "c1").softmax is None


def test_a_case_is_no_prediction(case, tmp_path):
    write_case(case(), tmp_path / "c1")
    with pytest.raises(FileNotFoundError, match=r"expected prediction\.nii\.gz.*'image', 'label'"):
        read_prediction(tmp_path / "c1")


def test_what_is_compressed_is_read_by_any_gzip_and_the_same_each_time(volume, tmp_path):
    """Noise and zeros: stored blocks, and long runs."""
    rng = np.random.default_rng(0)
    stored = np.concatenate([rng.integers(-999, 999, (40, 40, 9)), np.zeros((40, 40, 99))], 2)
    paths = [tmp_path / name for name in ("one.nii.gz", "two.nii.gz")]
    for path in paths:
        write_volume(volume(stored.astype("<i2")), path)
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    assert gzip.decompress(one)[-stored[..., 9:].size * 2 :] == bytes(stored[..., 9:].size * 2)
