import numpy as np
import pytest

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.labels import merge_labels

SUBSAMPLED = np.diag([1.0, 1.0, 4.0, 1.0])


def block(values, dtype=np.uint8):
    """A 6x5x4 label map whose first voxels hold the values."""
    stored = np.zeros((6, 5, 4), dtype)
    stored.ravel()[: len(values)] = values
    return stored


@pytest.fixture
def label_of(write, read):
    def read_label(stored, **labels):
        files = write("image.nii.gz"), write("label.nii.gz", stored)
        return read(*files, labels=labels).label

    return read_label


def test_ids_are_kept_without_groups(label_of):
    label = label_of(block([1, 2, 2], np.int16))
    np.testing.assert_array_equal(label.stored, block([1, 2, 2]))
    assert label.stored.dtype == np.uint8
    assert label.slope_intercept == (1, 0)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<u4", "<f4", ">f8"])
def test_groups_merge_ids_of_any_stored_type(label_of, dtype):
    label = label_of(block([10, 11, 12, 0], dtype), groups={1: [10, 12], 2: [11]})
    np.testing.assert_array_equal(label.stored, block([1, 2, 1, 0]))


def test_zero_may_be_grouped_like_any_id(label_of):
    label = label_of(block([9]), groups={0: [9], 1: [0]})
    np.testing.assert_array_equal(label.stored, 1 - block([1]))


def test_ids_above_255_need_uint16(label_of):
    label = label_of(block([300], np.int32), names={300: "far"})
    assert label.stored.dtype == np.uint16
    np.testing.assert_array_equal(label.stored, block([300], np.uint16))


def test_unlisted_ids_are_refused_by_name_or_become_background(label_of):
    stored = block([1, 7, -3], np.int16)
    with pytest.raises(BadCase, match=r"label.nii.gz: expected label ids 0, 1, 2, .*also -3, 7"):
        label_of(stored)
    kept = label_of(stored, unlisted="background")
    np.testing.assert_array_equal(kept.stored, block([1]))


def test_fractional_values_are_refused(label_of):
    with pytest.raises(BadCase, match=r"whole numbers .*1 voxels .*0\.99989"):
        label_of(block([1, 0.99989996], np.float32))


def test_ids_are_what_the_slope_makes_of_the_stored_numbers(write, read, params):
    label = read(write("label.nii.gz", block([2, 4])), labels={"need": "ignored"}).image
    label.header.set_slope_inter(0.5, 0)
    merged = merge_labels(label, params().labels)
    np.testing.assert_array_equal(merged.stored, block([1, 2]))
    assert merged.slope_intercept == (1, 0)
    label.header.set_slope_inter(0.25, 0)
    with pytest.raises(BadCase, match="whole numbers"):
        merge_labels(label, params().labels)


@pytest.mark.parametrize("slope", [0.1, 1 / 3, 0.01])
def test_what_the_slope_rounds_is_whole(write, read, params, slope):
    """In float32, 0.1 makes 2.00000003 of 20."""
    stored = np.rint(block([1, 2, 200], np.float64) / slope).astype(np.int16)
    label = read(write("label.nii.gz", stored), labels={"need": "ignored"}).image
    label.header.set_slope_inter(slope, 0)
    assert label.slope_intercept[0] != slope
    merged = merge_labels(label, params(labels={"unlisted": "keep"}).labels)
    np.testing.assert_array_equal(merged.stored, block([1, 2, 200]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.98, 100.5, 2.03])
def test_mixtures_of_ids_are_no_rounding(write, read, params, dtype, value):
    label = read(write("label.nii.gz", block([1])), labels={"need": "ignored"}).image
    with pytest.raises(BadCase, match="whole numbers"):
        merge_labels(label.with_stored(block([value], dtype)), params().labels)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -3), (1, 1), (0.5, -2), (-1, 2)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_intercept_takes_part_in_the_ids(write, read, params, slope, intercept, dtype):
    label = read(write("label.nii.gz", block([])), labels={"need": "ignored"}).image
    ids = block([1, 2, 2], np.float64)
    label = label.with_stored(((ids - intercept) / slope).astype(dtype), None, (slope, intercept))
    merged = merge_labels(label, params().labels)
    np.testing.assert_array_equal(merged.stored, ids)
    assert merged.slope_intercept == (1, 0)


def test_an_intercept_that_leaves_no_whole_numbers_is_refused(write, read, params):
    label = read(write("label.nii.gz", block([1])), labels={"need": "ignored"}).image
    label.header.set_slope_inter(1, 0.5)
    with pytest.raises(BadCase, match=r"whole numbers .*such as 1\.5"):
        merge_labels(label, params().labels)


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ({"groups": {1: [5], 2: [5]}}, "5 are in two groups"),
        ({"groups": {3: [5]}}, "3 are without a name"),
        ({"names": {70000: "far"}}, "70000"),
        ({"names": {-1: "below"}}, "-1"),
    ],
)
def test_contradicting_settings_are_no_fault_of_the_case(label_of, labels, fault):
    with pytest.raises(ValueError, match=fault) as caught:
        label_of(block([]), **labels)
    assert not isinstance(caught.value, BadCase)


def test_a_missing_label_matters_only_where_labels_are_required(write, read):
    with pytest.raises(BadCase, match="a label map, found none"):
        read(write(), labels={"need": "required"})
    assert read(write(), labels={"need": "optional"}).label is None


def test_an_ignored_label_is_not_even_opened(write, read, tmp_path):
    assert read(write(), tmp_path / "gone.nii.gz", labels={"need": "ignored"}).label is None


@pytest.mark.parametrize(
    ("shape", "shift", "found"),
    [
        ((6, 5, 3), 0.0, "shape 6x5x3 where the image has 6x5x4"),
        ((6, 5, 4), 0.02, "same shape with corners 0.02 mm apart;"),
        ((6, 5, 4), 100.0, "corners 100 mm apart, not even overlapping"),
    ],
)
def test_a_label_on_another_grid_is_refused(write, read, shape, shift, found):
    affine = SUBSAMPLED.copy()
    affine[0, 3] = shift
    label = write("label.nii.gz", np.zeros(shape, np.uint8), affine)
    with pytest.raises(BadCase, match=found):
        read(write("image.nii.gz"), label)


def test_a_label_within_the_tolerance_is_accepted(write, read):
    affine = SUBSAMPLED.copy()
    affine[0, 3] = 0.009
    label = write("label.nii.gz", block([1]), affine)
    assert read(write("image.nii.gz"), label).label.stored.sum() == 1


def test_a_label_fits_a_4d_image_but_has_one_channel_itself(write, read):
    image = write("image.nii.gz", np.zeros((6, 5, 4, 2), np.int16))
    label = write("label.nii.gz", block([1])[..., None])
    assert read(image, label, channel="all").label.stored.shape == (6, 5, 4)
    label = write("label.nii.gz", np.stack([block([1])] * 2, axis=-1))
    with pytest.raises(BadCase, match="one label id per voxel"):
        read(image, label, channel="all")


def test_a_damaged_label_is_named(write, read):
    label = write("label.nii.gz", block([1]))
    label.write_bytes(label.read_bytes()[:-4])
    with pytest.raises(BadCase) as caught:
        read(write("image.nii.gz"), label)
    assert (caught.value.case, caught.value.file) == ("c1", label)
    assert "\n" not in str(caught.value)
