import numpy as np
import pytest
import SimpleITK

from slicefill.ingestion.checks import BadCase

STEP = 4.0  # mm, of the series of conftest.py


@pytest.fixture
def series(tmp_path, slice_of, write_series):
    def write_changed(change=lambda slices: slices):
        slices = [slice_of(index) for index in range(6)]
        return write_series(tmp_path / "series", change(slices) or slices)

    return write_changed


def test_slices_are_sorted_by_position_and_placed_as_simpleitk_places_them(series, read):
    folder = series()
    image = read(folder).image
    assert image.stored.dtype == np.int16
    assert image.stored.shape == (6, 5, 6)
    in_order = [image.stored[0, 0, k] for k in range(6)]
    assert in_order == [0, 100, 200, 300, 400, 500]
    assert image.stored[1, 2, 0] == 13  # column 1, row 2 of rows of 6
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    itk = SimpleITK.ReadImage(names)
    for index in [(0, 0, 0), (5, 0, 0), (0, 4, 0), (0, 0, 5), (5, 4, 5)]:
        ras = np.multiply(itk.TransformIndexToPhysicalPoint(index), [-1, -1, 1])
        np.testing.assert_allclose((image.affine @ [*index, 1])[:3], ras, atol=1e-3)
        assert image.intensities()[index] == itk.GetPixel(*index)
    assert image.slope_intercept == (2, -1024)


def test_the_step_is_that_of_the_positions(series, read):
    assert read(series()).image.spacing[2] == pytest.approx(STEP, abs=1e-5)


def test_nothing_that_names_the_patient_is_kept(series, read):
    image = read(series()).image
    assert b"Doe" not in image.header.binaryblock
    assert len(image.header.extensions) == 0


def test_a_tilted_gantry_shears_the_affine(tmp_path, read, slice_of, write_series):
    slices = [slice_of(index, np.eye(3), step=(0, 1, 4)) for index in range(5)]
    image = read(write_series(tmp_path / "tilted", slices)).image
    np.testing.assert_allclose(image.affine[:3, 2], [0, -1, 4], atol=1e-6)
    assert image.header["qform_code"] == 0


def test_a_sideways_jump_is_refused(tmp_path, read, slice_of, write_series):
    slices = [slice_of(index, np.eye(3)) for index in range(5)]
    slices[2].ImagePositionPatient = [11.0, *slices[2].ImagePositionPatient[1:]]
    with pytest.raises(BadCase, match="straight line, found one 1 mm off"):
        read(write_series(tmp_path / "jump", slices))


def test_a_missing_slice_is_refused(series, read):
    with pytest.raises(BadCase, match=r"even steps.*from 4 to 8 mm.*8 mm from 04.dcm to 03.dcm"):
        read(series(lambda slices: slices[:2] + slices[3:]))


def test_steps_within_the_tolerance_are_accepted(tmp_path, read, slice_of, write_series):
    slices = [slice_of(index, np.eye(3)) for index in range(5)]
    slices[2].ImagePositionPatient = [10, -20, 30 + 2 * STEP + 0.03]
    folder = write_series(tmp_path / "nearly", slices)
    assert read(folder).image.spacing[2] == pytest.approx(STEP)
    with pytest.raises(BadCase, match="even steps"):
        read(folder, step_tolerance=0.005)


def test_two_slices_at_one_position_are_refused(series, read, slice_of):
    with pytest.raises(BadCase, match=r"one slice at every position, found .*dcm and .*dcm"):
        read(series(lambda slices: [*slices, slice_of(3)]))


def test_slices_that_all_lie_at_one_position_are_refused(series, read, slice_of):
    with pytest.raises(BadCase, match="found 2 slices at one position"):
        read(series(lambda slices: [slice_of(2), slice_of(2)]))


@pytest.mark.parametrize(
    ("keyword", "value", "name"),
    [
        ("Rows", 4, "size"),
        ("PixelSpacing", [0.8, 0.5], "spacing"),
        ("PixelRepresentation", 0, "type"),
    ],
)
def test_slices_that_do_not_belong_together_are_refused(series, read, keyword, value, name):
    def change(slices):
        setattr(slices[3], keyword, value)
        if keyword == "Rows":
            slices[3].PixelData = slices[3].PixelData[:48]

    with pytest.raises(BadCase, match=f"one series, the {name} the same in every slice"):
        read(series(change))


def test_a_slightly_turned_slice_is_refused(series, read):
    def change(slices):
        turned = np.add(slices[3].ImageOrientationPatient, [0.01, 0, 0, 0, 0, 0])
        slices[3].ImageOrientationPatient = turned.round(9).tolist()

    with pytest.raises(BadCase, match="the orientation the same"):
        read(series(change))


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("SamplesPerPixel", 3, "one intensity per voxel"),
        ("ImagePositionPatient", None, "position, orientation"),
        ("PixelSpacing", None, "position, orientation and spacing: PixelSpacing"),
        ("RescaleSlope", 0, "RescaleSlope that is not 0"),
        ("PixelData", b"short", "readable DICOM"),
    ],
)
def test_slices_that_cannot_be_read_are_refused_by_name(series, read, keyword, value, expected):
    def change(slices):
        if value is None:
            delattr(slices[3], keyword)
        else:
            setattr(slices[3], keyword, value)

    with pytest.raises(BadCase, match=rf"c1: \d\d\.dcm: .*{expected}"):
        read(series(change))


def test_frames_without_positions_of_their_own_are_refused(tmp_path, read, slice_of, write_series):
    each = slice_of(0)
    each.NumberOfFrames, each.PixelData = 2, each.PixelData * 2
    with pytest.raises(BadCase, match="frames with a position each"):
        read(write_series(tmp_path / "frames", [each]))


def test_a_truncated_file_is_refused(series, read):
    folder = series()
    path = folder / "02.dcm"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadCase, match="readable DICOM"):
        read(folder)


def test_one_slice_is_no_volume(series, read):
    with pytest.raises(BadCase, match="2 slices or more, found 1"):
        read(series(lambda slices: slices[:1]))
