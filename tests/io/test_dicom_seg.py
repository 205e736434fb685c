"""A DICOM segmentation holds the labels of a derived series, where they lie."""

import sys

import numpy as np
import pydicom
import pytest

from slicefill import api
from slicefill.command_line import main
from slicefill.ingestion.checks import BadCase
from slicefill.io.dicom_seg import write_seg
from slicefill.io.scan_files import write_scan

highdicom = pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")


@pytest.fixture
def labelled(derive):
    """A derived series, and a label map on its grid with the ids 2 and 300."""

    def make(**options):
        made = derive(**options)
        stored = np.zeros(made.imputed.image.stored.shape, np.uint16)
        stored[1:3, 2, 1:8] = 2
        stored[0, 0, 5] = 300
        return made, made.imputed.image.with_stored(stored, slope_intercept=(1, 0))

    return make


@pytest.mark.parametrize("direction", ["axial", "sagittal", "oblique"])
def test_labels_lie_where_they_lay(labelled, tmp_path, direction):
    made, label = labelled(direction=direction)
    write_seg(label, made.derived, tmp_path / "label.dcm")
    volume = highdicom.seg.segread(tmp_path / "label.dcm").get_volume(combine_segments=True)
    for number, identity in ((1, 2), (2, 300)):
        ours = np.argwhere(label.stored == identity) @ label.affine[:3, :3].T + label.affine[:3, 3]
        theirs = volume.map_indices_to_reference(np.argwhere(volume.array == number))
        theirs = theirs * [-1, -1, 1]
        assert len(ours) == len(theirs)
        distance = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
        assert distance.min(axis=1).max() < 1e-3


def test_segments_are_named_and_refer_to_the_derived_series(labelled, tmp_path):
    made, label = labelled()
    write_seg(label, made.derived, tmp_path / "label.dcm", {2: "liver", 7: "tumour"})
    seg = highdicom.seg.segread(tmp_path / "label.dcm")
    assert seg.segment_numbers == [1, 2, 3]
    described = [seg.get_segment_description(number) for number in (1, 2, 3)]
    assert [one.segment_label for one in described] == ["liver", "tumour", "label 300"]
    assert [one.SegmentDescription for one in described] == ["label 2", "label 7", "label 300"]
    assert {one.algorithm_type.value for one in described} == {"AUTOMATIC"}
    derived = [pydicom.dcmread(path) for path in made.derived]
    referred = {uid for _, _, uid in seg.get_source_image_uids()}
    assert referred == {each.SOPInstanceUID for each in derived}
    assert seg.FrameOfReferenceUID == derived[0].FrameOfReferenceUID
    assert seg.StudyInstanceUID == derived[0].StudyInstanceUID
    assert seg.SeriesInstanceUID != derived[0].SeriesInstanceUID


def test_nothing_is_invented_about_the_patient(labelled, tmp_path):
    def anonymous(slices):
        for each in slices:
            del each.PatientName, each.PatientID

    made, label = labelled(change=anonymous)
    write_seg(label, made.derived, tmp_path / "label.dcm")
    assert all(
        element.is_empty for element in pydicom.dcmread(tmp_path / "label.dcm").group_dataset(0x10)
    )


def test_an_empty_label_map_needs_names(labelled, tmp_path):
    made, label = labelled()
    empty = label.with_stored(np.zeros_like(label.stored))
    with pytest.raises(BadCase, match="name the labels that could be there"):
        write_seg(empty, made.derived, tmp_path / "label.dcm")
    write_seg(empty, made.derived, tmp_path / "label.dcm", {0: "background", 1: "liver"})
    seg = highdicom.seg.segread(tmp_path / "label.dcm")
    assert seg.segment_numbers == [1]
    assert not seg.pixel_array.any()


def test_a_label_map_without_labels_is_written_but_not_as_a_segmentation(series, tmp_path, capsys):
    folder = series()[0].parent
    scan = api.read(folder).image
    label = tmp_path / "label.nii.gz"
    write_scan(
        scan.with_stored(np.zeros(scan.stored.shape, np.uint8), slope_intercept=(1, 0)), label
    )
    options = ["--label", str(label), "--method", "linear", "--count", "1", "--dicom"]
    out = tmp_path / "out"
    out.mkdir()
    for told in ("no DICOM SEG is written: the label map has no labels", "there already"):
        assert main(["impute", str(folder), str(out), *options]) == 0
        assert told in capsys.readouterr().out
    stem = "source_isotropic"
    endings = (".nii.gz", "_label.nii.gz", "_dicom")
    written = {path.name for path in out.iterdir()} - {"slicefill.csv"}
    assert written == {f"{stem}{ending}" for ending in endings}


def label_beside(folder, value):
    """Write a label map that shows one id everywhere."""
    scan, path = api.read(folder).image, folder.parent / "label.nii.gz"
    stored = np.full(scan.stored.shape, value, np.uint8)
    write_scan(scan.with_stored(stored, slope_intercept=(1, 0)), path)
    return path


def test_a_single_file_whose_label_map_has_no_labels_is_not_imputed_again(series, tmp_path, capsys):
    folder = series()[0].parent
    options = ["--label", str(label_beside(folder, 0)), "--method", "linear", "--count", "1"]
    for told in ("no DICOM SEG is written", "there already"):
        command = ["impute", str(folder), str(tmp_path / "out.nii.gz"), *options]
        assert main([*command, "--dicom", "--record"]) == 0
        assert told in capsys.readouterr().out


def test_a_series_and_its_label_map_are_written_together_and_then_stay(
    series, tmp_path, monkeypatch
):
    """Also where the call ended between the two: a label map refers to its series."""
    folder, out = series()[0].parent, tmp_path / "out"
    out.mkdir()
    options = ["--label", str(label_beside(folder, 1)), "--method", "linear", "--count", "1"]
    command = ["impute", str(folder), str(out), *options, "--dicom"]
    with monkeypatch.context() as patched:
        patched.setattr("slicefill.io.dicom_seg.write_seg", lambda *_: 1 / 0)
        assert main(command) == 3
    derived, seg = out / "source_isotropic_dicom", out / "source_isotropic_seg.dcm"
    assert derived.exists()
    assert not seg.exists()
    assert main(command) == 0
    one = pydicom.dcmread(next(derived.iterdir()))
    referenced = pydicom.dcmread(seg).ReferencedSeriesSequence[0].SeriesInstanceUID
    assert referenced == one.SeriesInstanceUID
    written = seg.read_bytes()
    assert main([*command, "--mask"]) == 0
    assert pydicom.dcmread(next(derived.iterdir())).SeriesInstanceUID == referenced
    assert seg.read_bytes() == written


@pytest.mark.parametrize("value", [0, 1])
def test_without_highdicom_a_label_map_is_refused_before_imputing(
    series, tmp_path, monkeypatch, capsys, value
):
    folder = series()[0].parent
    monkeypatch.setattr("slicefill.batch.outputs.find_spec", lambda name: None)
    options = ["--label", str(label_beside(folder, value)), "--method", "linear", "--count", "1"]
    out = tmp_path / "out.nii.gz"
    code = main(["impute", str(folder), str(out), *options, "--dicom"])
    assert (code, out.exists()) == ((3, False) if value else (0, True))
    assert ("pip install 'slicefill[dicom]', or leave" in capsys.readouterr().err) == bool(value)


def test_a_label_map_on_another_grid_is_refused(labelled, tmp_path):
    made, label = labelled()
    with pytest.raises(BadCase, match=r"shape \(6, 5, 13\), as the series"):
        write_seg(label.with_stored(label.stored[..., :-1]), made.derived, tmp_path / "label.dcm")


def test_without_highdicom_the_error_says_what_to_install(labelled, tmp_path, monkeypatch):
    made, label = labelled()
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    with pytest.raises(ImportError, match=r"pip install 'slicefill\[dicom\]'"):
        write_seg(label, made.derived, tmp_path / "label.dcm")
