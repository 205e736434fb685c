import gzip
import os
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slicefill
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.nifti import read_nifti
from slicefill.ingestion.voxels import check_varies
from slicefill.types import Volume

SUBSAMPLED = np.diag([1.0, 1.0, 4.0, 1.0])
PIXDIM, QFORM_CODE, SFORM_CODE, SROW_X = 76, 252, 254, 280  # byte offsets, nifti1.h
FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def patch(path, offset, form, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + form, content, offset, *values)
    path.write_bytes(bytes(content))
    return path


# --- what a good file gives -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8"])
def test_stored_numbers_keep_dtype_and_byte_order(tmp_path, read, dtype):
    stored = np.random.default_rng(0).integers(0, 200, (6, 5, 4)).astype(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(stored.dtype)
    nib.save(nib.Nifti1Image(stored, SUBSAMPLED, header), tmp_path / "scan.nii.gz")
    image = read(tmp_path / "scan.nii.gz").image
    assert image.stored.dtype == np.dtype(dtype)
    assert image.stored.tobytes("F") == stored.tobytes("F")


def test_slope_and_intercept_of_the_file_are_kept_and_not_applied(write, read):
    path = write("scan.nii")
    patch(path, 112, "ff", 0.5, -1024.0)  # scl_slope, scl_inter
    image = read(path).image
    assert image.slope_intercept == (0.5, -1024.0)
    np.testing.assert_array_equal(image.stored.ravel(), np.arange(120))
    np.testing.assert_array_equal(image.intensities(), nib.load(path).get_fdata())


def test_a_file_without_slope_has_slope_one(write, read):
    assert read(patch(write("scan.nii"), 112, "ff", 0.0, 7.0)).image.slope_intercept == (1.0, 0.0)


def test_an_affine_without_codes_becomes_an_sform_that_itk_reads_alike(write, read, tmp_path):
    path = write("scan.nii", codes=(0, 0))
    image = read(path).image
    np.testing.assert_allclose(image.affine, nib.load(path).affine)
    assert image.header["sform_code"] == 2
    nib.save(nib.Nifti1Image(image.stored, None, image.header), tmp_path / "out.nii")
    itk = SimpleITK.ReadImage(str(tmp_path / "out.nii"))
    position = itk.TransformContinuousIndexToPhysicalPoint([1.0, 2.0, 3.0])
    np.testing.assert_allclose(np.array(position) * [-1, -1, 1], (image.affine @ [1, 2, 3, 1])[:3])


@pytest.mark.parametrize(("pair", "single"), [("Nifti1Pair", b"n+1\0"), ("Nifti2Pair", b"n+2\0")])
def test_a_pair_is_read_as_a_single_file_header(tmp_path, read, pair, single):
    stored = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    nib.save(getattr(nib, pair)(stored, SUBSAMPLED), tmp_path / "scan.hdr")
    image = read(tmp_path / "scan.hdr").image
    np.testing.assert_array_equal(image.stored, stored)
    np.testing.assert_array_equal(image.affine, SUBSAMPLED)
    assert image.header.binaryblock.find(single) > 0
    again = type(image.header).from_fileobj  # the header describes a single file in full
    kind = nib.Nifti2Image if "2" in pair else nib.Nifti1Image
    nib.save(kind(image.stored, None, image.header), tmp_path / "out.nii")
    with (tmp_path / "out.nii").open("rb") as stream:
        assert again(stream).get_data_shape() == (6, 5, 4)
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").get_fdata(), stored)


# --- damage -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> bytes:
    """A .nii.gz of noise: deflate cannot shorten it, so that damage falls on voxels."""
    path = tmp_path_factory.mktemp("noise") / "noise.nii.gz"
    stored = np.random.default_rng(1).integers(-999, 999, (8, 8, 4)).astype(np.int16)
    nib.save(nib.Nifti1Image(stored, SUBSAMPLED), path)
    return path.read_bytes()


@FEW
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_gz_file_cut_anywhere_is_refused(packed, tmp_path, share):
    path = tmp_path / "cut.nii.gz"
    path.write_bytes(packed[: int(share * len(packed))])
    with pytest.raises(BadCase, match="whole and readable NIfTI"):
        read_nifti(path)


@FEW
@given(data=st.data())
def test_a_gz_file_with_a_changed_byte_is_refused_or_reads_the_same(packed, tmp_path, data):
    where = data.draw(st.integers(0, len(packed) - 1))
    content = bytearray(packed)
    content[where] ^= data.draw(st.integers(1, 255))
    good, bad = tmp_path / "good.nii.gz", tmp_path / "bad.nii.gz"
    good.write_bytes(packed)
    bad.write_bytes(bytes(content))
    try:
        stored = read_nifti(bad).stored
    except BadCase:
        return
    np.testing.assert_array_equal(stored, read_nifti(good).stored)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda b: b[:-8], "EOFError"),
        (lambda b: b[:-8] + bytes(4) + b[-4:], "CRC"),
        (lambda b: b[:-4] + bytes(4), "length"),
    ],
    ids=["no trailer", "wrong CRC32", "wrong ISIZE"],
)
def test_a_gz_trailer_is_checked(packed, tmp_path, damage, found):
    path = tmp_path / "bad.nii.gz"
    path.write_bytes(damage(packed))
    with pytest.raises(BadCase, match=found):
        read_nifti(path)


@pytest.mark.parametrize("junk", [b"j", b"junk" * 999, bytes(9) + b"junk"])
def test_bytes_behind_a_whole_gz_stream_do_no_harm(packed, tmp_path, junk):
    (tmp_path / "good.nii.gz").write_bytes(packed)
    (tmp_path / "more.nii.gz").write_bytes(packed + junk)
    made, expected = read_nifti(tmp_path / "more.nii.gz"), read_nifti(tmp_path / "good.nii.gz")
    np.testing.assert_array_equal(made.stored, expected.stored)
    short = gzip.compress(gzip.decompress(packed)[:-1])
    (tmp_path / "short.nii.gz").write_bytes(short + junk)
    with pytest.raises(BadCase, match="truncated"):
        read_nifti(tmp_path / "short.nii.gz")


@pytest.mark.parametrize("name", ["short.nii", "short.nii.gz"])
def test_fewer_voxels_than_the_header_says_are_refused(tmp_path, packed, name):
    short = gzip.decompress(packed)[:-1]
    (tmp_path / name).write_bytes(gzip.compress(short) if name.endswith("gz") else short)
    with pytest.raises(BadCase, match=r"expected 864 bytes .* found 863; .*truncated"):
        read_nifti(tmp_path / name)


def test_a_missing_or_foreign_file_is_refused(tmp_path, read):
    with pytest.raises(BadCase, match=r"c1: gone\.nii: .*FileNotFoundError"):
        read(tmp_path / "gone.nii")
    (tmp_path / "text.nii").write_text("hello")
    with pytest.raises(BadCase, match="readable NIfTI"):
        read(tmp_path / "text.nii")
    with pytest.raises(BadCase, match=r"scan\.dat; convert"):
        read(tmp_path / "scan.dat")


def test_analyze_is_refused_because_it_does_not_tell_left_from_right(tmp_path, read):
    nib.save(nib.AnalyzeImage(np.zeros((6, 5, 4), np.int16), SUBSAMPLED), tmp_path / "old.hdr")
    with pytest.raises(BadCase, match="which side is left"):
        read(tmp_path / "old.hdr")


# --- headers and voxels -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused(write, read, value):
    stored = np.zeros((6, 5, 4), np.float32)
    stored[1, 2, 3] = value
    with pytest.raises(BadCase, match="1 that are NaN or infinite"):
        read(write(stored=stored))


@pytest.mark.parametrize(("dtype", "value"), [("f4", 3e38), ("f4", -2e18), ("f8", 1e300)])
def test_intensities_whose_squares_overflow_are_refused(write, read, dtype, value):
    stored = np.zeros((6, 5, 4), dtype)
    stored[1, 2, 3] = value
    with pytest.raises(BadCase, match=r"intensities from -1e\+18 to 1e\+18, found"):
        read(write(stored=stored))


def test_an_image_that_only_its_last_digits_tell_apart_shows_nothing():
    stored = np.full((6, 5, 4), 2**53, np.int64)
    stored[0] += 1
    header = nib.Nifti2Header()
    header.set_data_dtype(np.int64)
    with pytest.raises(BadCase, match=r"differ in their first 7 digits, found 9\.0072e\+15"):
        check_varies(Volume(stored, header))
    check_varies(Volume(stored - 2**53, header))


def test_a_2d_image_is_refused(write, read):
    with pytest.raises(BadCase, match="three axes, found shape 6x5"):
        read(write(stored=np.zeros((6, 5), np.int16)))


def test_a_single_slice_is_refused_on_the_axis_in_use(write, read):
    path = write(stored=np.zeros((6, 5, 1), np.int16))
    with pytest.raises(BadCase, match=r"2 slices or more .*array axis 2.*found 1"):
        read(path)
    assert read(path, through_plane="A").image.stored.shape == (6, 5, 1)


@pytest.mark.parametrize(
    "dtype", [np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]), np.dtype(np.complex64)]
)
def test_colour_and_complex_voxels_are_refused(write, read, dtype):
    with pytest.raises(BadCase, match="one real number per voxel"):
        read(write(stored=np.zeros((6, 5, 4), dtype)))


@pytest.mark.parametrize("pitch", [0.0, -4.0, np.nan, np.inf])
def test_spacing_that_is_not_positive_is_refused(write, read, pitch):
    with pytest.raises(BadCase, match="spacing above 0"):
        read(patch(write("scan.nii"), PIXDIM + 12, "f", pitch))


def test_a_header_in_microns_is_refused(write, read):
    with pytest.raises(BadCase, match="header in mm, found micron"):
        read(patch(write("scan.nii"), 123, "B", 3))  # xyzt_units


@pytest.mark.parametrize(
    ("rows", "found"),
    [((0,) * 12, "singular"), ((1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0), "singular"),
     ((np.nan, *(0,) * 11), "not finite")],
    ids=["all zero", "two axes alike", "NaN"],
)  # fmt: skip
def test_an_affine_that_spans_no_space_is_refused(write, read, rows, found):
    path = patch(write("scan.nii", codes=(1, 0)), SROW_X, "12f", *rows)
    with pytest.raises(BadCase, match=found):
        read(path)


def test_sform_and_qform_that_disagree_are_refused(write, read):
    path = patch(write("scan.nii"), SROW_X + 40, "f", 5.0)  # sform says 5 mm, qform 4 mm
    with pytest.raises(BadCase, match=r"sform and qform .* 3\.5 mm apart"):  # at index 3.5
        read(path)
    assert read(path, affine_tolerance=5).image.spacing[2] == 5
    only_sform = patch(path, QFORM_CODE, "h", 0)
    assert read(only_sform).image.spacing[2] == 5


def test_a_qform_that_is_not_finite_is_refused(write, read):
    with pytest.raises(BadCase, match="sform and qform"):
        read(patch(write("scan.nii"), 256, "f", np.nan))  # quatern_b


QUATERN, HALF_A_TURN = 256, (0.708, 0.708, 0.0)  # rounded: its squares sum to 1.0025


def test_a_quaternion_that_is_too_long_counts_for_nothing_beside_an_sform(write, read):
    case = read(patch(write("scan.nii"), QUATERN, "3f", *HALF_A_TURN))
    np.testing.assert_array_equal(case.image.affine, SUBSAMPLED)
    denser = slicefill.impute(case, method="linear", count=1).image
    np.testing.assert_array_equal(denser.spacing, (1, 1, 2))
    assert denser.header.get_qform(coded=True)[1] == 0


def test_a_quaternion_that_is_too_long_and_alone_is_refused_and_read_once_itk_wrote_it(
    write, read, tmp_path
):
    path = patch(write("scan.nii", codes=(0, 1)), QUATERN, "3f", *HALF_A_TURN)
    with pytest.raises(BadCase, match=r"is 1 at most, or an sform, found 1\.002528; .*SimpleITK"):
        read(path)
    SimpleITK.WriteImage(SimpleITK.ReadImage(path), tmp_path / "again.nii")
    expected = [[0, 1, 0], [1, 0, 0], [0, 0, -4]]
    np.testing.assert_allclose(read(tmp_path / "again.nii").image.affine[:3, :3], expected)


def test_a_corner_within_the_tolerance_is_accepted(write, read):
    path = patch(write("scan.nii"), SROW_X + 12, "f", 0.009)
    assert read(path).image.affine[0, 3] == pytest.approx(0.009)
    with pytest.raises(BadCase, match="sform and qform"):
        read(path, affine_tolerance=0.008)


@pytest.mark.parametrize("scale", [0.0004, 0.15, 1.0, 40.0])
def test_tolerances_are_fractions_of_the_voxel(write, read, scale):
    affine = SUBSAMPLED * [[scale], [scale], [scale], [1]]
    affine[:3, 3] = 7.3 * scale
    label = np.ones((6, 5, 4), np.uint8)
    for shift, fits in ((0.0, True), (0.009, True), (0.02, False), (20, False)):
        moved = affine.copy()
        moved[0, 3] += shift * scale
        paths = write("scan.nii", affine=affine), write("label.nii", label, moved)
        if fits:
            assert read(*paths).label is not None
        else:
            with pytest.raises(BadCase, match="on the grid of the image"):
                read(*paths)


def test_what_float32_cannot_tell_apart_is_no_difference(write, read):
    affine = np.diag([4e-4, 4e-4, 1.6e-3, 1.0])
    affine[:3, 3] = 40.0  # mm, where float32 has steps of a hundredth of these voxels
    moved = affine.copy()
    moved[:3, 3] = np.nextafter(np.float32(40), np.float32(50))
    assert 3e-6 < moved[0, 3] - 40 < 4e-6
    label = write("label.nii", np.ones((6, 5, 4), np.uint8), moved)
    assert read(write("scan.nii", affine=affine), label, affine_tolerance=1e-9).label is not None


def test_a_qform_near_half_a_turn_is_as_exact_as_it_can_be(write, read):
    """Three float32 numbers hold the turn; of the fourth, 0.0004, few digits are left."""
    angle = np.pi - 8e-4
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    path = write("scan.nii", np.zeros((256, 256, 4), np.uint8), turn @ SUBSAMPLED)
    image = nib.load(path)
    apart = np.abs(image.get_qform() - image.get_sform())[:, 0].max() * 256
    assert apart > 0.01  # more than the tolerance
    assert read(path).image.stored.shape == (256, 256, 4)


# --- channels ---------------------------------------------------------------------------------


def test_channels_of_a_4d_image(write, read):
    stored = np.random.default_rng(0).integers(0, 99, (6, 5, 4, 3)).astype(np.int16)
    path = write(stored=stored)
    with pytest.raises(BadCase, match="one channel, found shape 6x5x4x3"):
        read(path)
    chosen = read(path, channel=2).image
    np.testing.assert_array_equal(chosen.stored, stored[..., 2])
    assert chosen.header.get_data_shape() == (6, 5, 4)
    np.testing.assert_array_equal(read(path, channel="all").image.stored, stored)
    with pytest.raises(BadCase, match=r"channel 3 .*found 3 channels"):
        read(path, channel=3)


@pytest.mark.parametrize("channel", [None, 0, "all"])
def test_axes_of_length_one_are_dropped(write, read, channel):
    image = read(write(stored=np.zeros((6, 5, 4, 1, 1), np.int16)), channel=channel).image
    assert image.stored.shape == image.header.get_data_shape() == (6, 5, 4)


def test_nan_in_a_channel_that_is_not_used_does_not_matter(write, read):
    stored = np.zeros((6, 5, 4, 2), np.float32)
    stored[..., 1] = np.nan
    assert read(write(stored=stored), channel=0).image.stored.shape == (6, 5, 4)


# --- real files -------------------------------------------------------------------------------


def test_odd_real_files_are_read_as_nibabel_reads_them(read):
    root = Path(os.environ.get("SLICEFILL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    paths = sorted((root / "odd").rglob("*.nii*"))
    if not paths:
        pytest.skip("no real data: set SLICEFILL_DATA to the folder that holds odd/")
    for path in paths:
        image, reference = read(path, channel="all").image, nib.load(path)
        np.testing.assert_array_equal(image.affine, reference.affine)
        np.testing.assert_allclose(image.intensities(), reference.get_fdata(), rtol=1e-6)
