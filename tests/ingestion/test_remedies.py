"""What a refusal advises is done, and ends well."""

import nibabel as nib
import numpy as np
import pytest

from slicefill.api import impute
from slicefill.ingestion.checks import BadCase

IDS = np.zeros((6, 5, 4), np.int32)
IDS[2:4, 2:4] = 70_000


def advice(read, *files, **changes):
    """The remedy of the refusal."""
    with pytest.raises(BadCase) as refused:
        read(*files, **changes)
    return refused.value.remedy


@pytest.mark.parametrize("unlisted", ["refuse", "background", "keep"])
def test_ids_above_65535_are_renumbered_by_groups(write, read, unlisted):
    files = write("image.nii.gz"), write("label.nii.gz", IDS)
    if unlisted == "keep":
        assert "ingestion.labels.groups" in advice(read, *files, labels={"unlisted": "keep"})
    groups = {"groups": {1: [70_000]}, "names": {1: "liver"}, "unlisted": unlisted}
    np.testing.assert_array_equal(read(*files, labels=groups).label.stored, IDS // 70_000)


def test_unlisted_ids_become_background_or_stay(write, read):
    files = write("image.nii.gz"), write("label.nii.gz", np.full((6, 5, 4), 9, np.uint8))
    assert "ingestion.labels.unlisted=background (or keep)" in advice(read, *files)
    assert not read(*files, labels={"unlisted": "background"}).label.stored.any()
    assert (read(*files, labels={"unlisted": "keep"}).label.stored == 9).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_become_background(write, read, value):
    stored = np.random.default_rng(0).normal(100, 9, (6, 5, 4)).astype(np.float32)
    lowest = stored[1:].min()
    stored[0] = value
    image = write("image.nii.gz", stored)
    remedy = advice(read, image)
    assert "ingestion.not_finite=background" in remedy
    made = read(image, not_finite="background").image.stored
    assert made.dtype == stored.dtype
    np.testing.assert_array_equal(made[1:], stored[1:])
    assert (made[0] == lowest).all()
    told = "a[~numpy.isfinite(a)] = a[numpy.isfinite(a)].min()"
    assert told in remedy
    mended = stored.copy()
    exec(told, {"a": mended, "numpy": np})  # what the remedy says works
    np.testing.assert_array_equal(read(write("mended.nii.gz", mended)).image.stored, made)


def test_a_volume_without_a_finite_voxel_is_refused_all_the_same(write, read):
    image = write("image.nii.gz", np.full((6, 5, 4), np.nan, np.float32))
    with pytest.raises(BadCase, match="120 that are NaN"):
        read(image, not_finite="background")


def test_nan_in_a_label_map_is_told_what_to_store(write, read):
    stored = np.zeros((6, 5, 4), np.float32)
    stored[0] = np.nan
    files = write("image.nii.gz"), write("label.nii.gz", stored)
    assert advice(read, *files, not_finite="background").startswith("store 0 there")
    files = files[0], write("mended.nii.gz", np.nan_to_num(stored))
    assert not read(*files).label.stored.any()


def test_channels_are_chosen_or_all_read(write, read):
    image = write("image.nii.gz", np.ones((6, 5, 4, 2), np.int16))
    assert advice(read, image) == "set ingestion.channel to an index or to all"
    assert read(image, channel="all").image.stored.shape == (6, 5, 4, 2)
    assert read(image, channel=1).image.stored.shape == (6, 5, 4)
    assert "or to all" in advice(read, image, channel=2)


def test_a_5d_volume_is_not_told_to_set_what_is_set(write, read):
    stored = np.ones((6, 5, 4, 2, 3), np.int16)
    image = write("image.nii.gz", stored)
    remedy = advice(read, image, channel="all")
    assert "channel to" not in remedy
    assert remedy.startswith("write a file for every index of the last axis")
    parts = [write(f"part{n}.nii.gz", stored[..., n]) for n in range(3)]
    assert {read(part, channel="all").image.stored.shape for part in parts} == {(6, 5, 4, 2)}


def test_masks_in_channels_become_one_map_of_ids(write, read):
    masks = np.zeros((6, 5, 4, 2), np.uint8)
    masks[1, ..., 0] = masks[4, ..., 1] = 1
    files = write("image.nii.gz"), write("label.nii.gz", masks)
    assert "channel to" not in advice(read, *files, channel="all")
    ids = (masks * np.array([1, 2])).sum(-1).astype(np.uint8)
    assert set(np.unique(read(files[0], write("ids.nii.gz", ids)).label.stored)) == {0, 1, 2}


def test_a_missing_label_map_may_be_optional(write, read):
    image = write("image.nii.gz")
    remedy = advice(read, image, labels={"need": "required"})
    assert "ingestion.labels.need=optional" in remedy
    assert read(image, labels={"need": "optional"}).label is None


def test_one_slice_along_the_largest_spacing_needs_the_axis(write, read):
    image = write("image.nii.gz", np.ones((6, 5, 1), np.int16))
    assert advice(read, image).endswith("--params axis=S")
    assert read(image, through_plane="L").image.stored.shape == (6, 5, 1)


def test_python_callers_are_told_how_to_allow_a_large_result():
    image = nib.Nifti1Image(np.zeros((4, 4, 3), np.int16), np.diag([1, 1, 4, 1]))
    with pytest.raises(BadCase, match="in Python most_slices=5001, most_gb=4"):
        impute(image, method="linear", count=2499)
