"""Views from files: which label maps are read, and what is written."""

import shutil

import numpy as np
import pytest

import slicefill
from slicefill.batch.fuse import fuse_files

WAYS = {"registration": "header", "method": "nearest", "device": "cpu"}


@pytest.fixture
def folder(case, tmp_path):
    """A scan with its label map beside it."""
    view, folder = case("f4", shape=(12, 14, 6)), tmp_path / "folder"
    folder.mkdir()
    slicefill.write(view.image, folder / "scan.nii.gz")
    slicefill.write(view.label, folder / "scan_seg.nii.gz")
    return folder


def test_a_label_map_that_is_ruled_out_is_not_taken_from_beside_the_scan(folder, tmp_path):
    label = shutil.copy(folder / "scan_seg.nii.gz", tmp_path / "seg.nii.gz")
    views, out = [folder, folder], {"out": tmp_path / "out.nii.gz"}
    for labels, without in ((None, []), ([label, None], ["view 2 folder"])):
        fused = fuse_files(views, labels, out, overwrite=True, **WAYS)
        assert fused.record["fusion"]["labels"]["without_label"] == without


def test_in_python_none_rules_a_label_map_out_too(folder):
    label = folder / "scan_seg.nii.gz"
    for labels, without in ((None, []), ([label, None], ["view 2 folder"])):
        fused = slicefill.fuse([folder, folder], labels, **WAYS)
        assert fused.record["fusion"]["labels"]["without_label"] == without


def test_a_label_map_that_is_ruled_out_is_not_even_read(folder, case, tmp_path):
    label = shutil.copy(folder / "scan_seg.nii.gz", tmp_path / "seg.nii.gz")
    slicefill.write(case("f4", shape=(5, 5, 3)).label, folder / "scan_seg.nii.gz")
    views, out = [folder / "scan.nii.gz", folder], {"out": tmp_path / "out.nii.gz"}
    fused = fuse_files(views, [label, None], out, **WAYS)
    assert fused.record["fusion"]["labels"]["without_label"] == ["view 2 folder"]


def test_maps_are_written_where_a_single_image_is_left(folder, tmp_path):
    names = ("out", "confidence", "views")
    outputs = {name: tmp_path / f"{name}.nii.gz" for name in names}
    fuse_files([folder / "scan.nii.gz"], [None], outputs, **WAYS)
    assert (slicefill.read(outputs["views"]).image.stored == 1).all()
    read = slicefill.read(outputs["out"]).image.stored
    scan = slicefill.read(folder / "scan.nii.gz").image.stored
    assert np.isin(scan, read).all()
    assert slicefill.read(outputs["confidence"]).image.stored.max() == 10_000


def test_a_view_in_a_folder_is_never_replaced(folder):
    before = (folder / "scan.nii.gz").read_bytes()
    with pytest.raises(ValueError, match="another name than that of an input"):
        fuse_files([folder], None, {"out": folder / "scan.nii.gz"}, overwrite=True, **WAYS)
    assert (folder / "scan.nii.gz").read_bytes() == before
