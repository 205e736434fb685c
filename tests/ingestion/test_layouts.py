import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.layouts import find_cases, safe_id


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def found(tmp_path, params):
    """What is found, as {id: (image, label)} with paths relative to the raw folder, and faults."""

    def find(layout, **changes):
        cases, bad = find_cases(tmp_path, params(layout=layout, **changes))
        relative = {
            case.id: tuple(
                path.relative_to(tmp_path).as_posix() if path else None
                for path in (case.image, case.label)
            )
            for case in cases
        }
        return relative, bad

    return find


def test_folder_pairs_by_stem_whatever_the_format(tmp_path, found):
    touch(tmp_path, "images/b.nii.gz", "images/a.nrrd", "images/c.hdr", "images/c.img")
    touch(tmp_path, "labels/b.nii", "images/._b.nii.gz", "images/notes.txt")
    cases, bad = found("folder")
    assert cases == {
        "a": ("images/a.nrrd", None),
        "b": ("images/b.nii.gz", "labels/b.nii"),
        "c": ("images/c.hdr", None),
    }
    assert list(cases) == sorted(cases)
    assert bad == []


def test_a_label_without_an_image_is_reported(tmp_path, found):
    touch(tmp_path, "images/case_01.nii", "labels/case_1.nii")
    cases, bad = found("folder")
    assert cases == {"case_01": ("images/case_01.nii", None)}
    assert [(fault.case, fault.found) for fault in bad] == [("case_1", "a label without an image")]


def test_two_labels_of_one_name_leave_the_case_out(tmp_path, found):
    touch(tmp_path, "images/a.nii", "labels/a.nii", "labels/a.nii.gz")
    cases, bad = found("folder")
    assert cases == {}
    assert [(fault.case, fault.found) for fault in bad] == [("a", "several labels")]


@pytest.mark.parametrize("names", [("a.nii", "a.nii.gz"), ("a b.nii", "a_b.nii")])
def test_all_cases_of_one_id_are_refused(tmp_path, found, names):
    touch(tmp_path, *(f"images/{name}" for name in names), "images/z.nii")
    cases, bad = found("folder")
    assert list(cases) == ["z"]
    assert {fault.file.name for fault in bad} == set(names)


def test_msd_lists_its_training_cases(tmp_path, found):
    entries = [{"image": "./imagesTr/b.nii.gz", "label": "./labelsTr/b.nii.gz"}]
    entries += [{"image": "imagesTr/a.nii.gz"}]
    index = {"training": entries, "test": ["imagesTs/c.nii.gz"]}
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    assert found("msd")[0] == {
        "a": ("imagesTr/a.nii.gz", None),
        "b": ("imagesTr/b.nii.gz", "labelsTr/b.nii.gz"),
    }


@pytest.mark.parametrize(
    "path", ["../out/x.nii", "/etc/x.nii", "in/../../x.nii", "in/../in/x.nii", "link/x.nii"]
)
@pytest.mark.parametrize("key", ["image", "label"])
def test_msd_refuses_paths_that_leave_the_folder(tmp_path, params, path, key):
    folder = tmp_path / "dataset"
    touch(tmp_path, "out/x.nii", "dataset/in/x.nii")
    (folder / "link").symlink_to(tmp_path / "out")
    entry = {"image": "in/x.nii", "label": "in/x.nii", key: path}
    (folder / "dataset.json").write_text(json.dumps({"training": [entry]}))
    cases, bad = find_cases(folder, params(layout="msd"))
    assert cases == []
    assert "inside the folder" in bad[0].expected


def test_msd_refuses_absolute_paths_even_inside_the_folder(tmp_path, found):
    touch(tmp_path, "x.nii")
    index = {"training": [{"image": str(tmp_path / "x.nii")}]}
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    cases, bad = found("msd")
    assert (cases, [fault.case for fault in bad]) == ({}, ["x"])


@pytest.mark.parametrize("text", ["{", "{}", '{"training": ["a.nii"]}', '{"training": [{}]}', "[]"])
def test_msd_says_what_is_wrong_with_its_index(tmp_path, params, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset.json: expected JSON with training"):
        find_cases(tmp_path, params(layout="msd"))


def test_bids_finds_images_of_the_suffix_with_their_labels(tmp_path, found):
    touch(
        tmp_path,
        "sub-1/anat/sub-1_T2w.nii.gz",
        "sub-1/anat/sub-1_T1w.nii.gz",
        "sub-2/ses-b/anat/sub-2_ses-b_run-1_T2w.nii",
        "sub-2/ses-b/anat/sub-2_ses-b_run-2_T2w.nii",
        "sub-3/anat/sub-3_T2w.nii.gz",
        "derivatives/manual/sub-1/anat/sub-1_T2w_seg-manual.nii.gz",
        "derivatives/manual/sub-1/anat/sub-1_T1w_seg-manual.nii.gz",
        "derivatives/manual/sub-2/ses-b/anat/sub-2_ses-b_run-2_dseg.nii.gz",
        "derivatives/manual/sub-2/ses-b/anat/sub-2_ses-b_run-2_desc-brain_mask.nii.gz",
        "derivatives/manual/sub-30/anat/sub-30_dseg.nii.gz",
    )
    assert found("bids") == (
        {
            "sub-1_T2w": (
                "sub-1/anat/sub-1_T2w.nii.gz",
                "derivatives/manual/sub-1/anat/sub-1_T2w_seg-manual.nii.gz",
            ),
            "sub-2_ses-b_run-1_T2w": ("sub-2/ses-b/anat/sub-2_ses-b_run-1_T2w.nii", None),
            "sub-2_ses-b_run-2_T2w": (
                "sub-2/ses-b/anat/sub-2_ses-b_run-2_T2w.nii",
                "derivatives/manual/sub-2/ses-b/anat/sub-2_ses-b_run-2_dseg.nii.gz",
            ),
            "sub-3_T2w": ("sub-3/anat/sub-3_T2w.nii.gz", None),
        },
        [],
    )


def test_bids_prefers_the_plainest_label_and_refuses_a_tie(tmp_path, found):
    touch(tmp_path, "sub-1/anat/sub-1_T2w.nii", "derivatives/sub-1_space-MNI_dseg.nii")
    touch(tmp_path, "derivatives/sub-1_dseg.nii")
    assert found("bids")[0]["sub-1_T2w"][1] == "derivatives/sub-1_dseg.nii"
    touch(tmp_path, "derivatives/other/sub-1_dseg.nii")
    cases, bad = found("bids")
    assert cases == {}
    assert (bad[0].case, bad[0].expected) == ("sub-1_T2w", "one label map per image")


def test_dicom_takes_every_folder_with_dicom_files(tmp_path, found, slice_of, write_series):
    for name in ("p1/s1", "p1/s2", "p2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_series(tmp_path / name, [slice_of(0), slice_of(1)])
    touch(tmp_path, "p1/s1/readme.txt", "empty/notes.txt")
    assert found("dicom")[0] == {
        "p1_s1": ("p1/s1", None),
        "p1_s2": ("p1/s2", None),
        "p2": ("p2", None),
    }


def test_dicom_files_right_in_the_folder_are_one_case(tmp_path, params, slice_of, write_series):
    folder = write_series(tmp_path / "scan 7", [slice_of(0), slice_of(1)])
    assert [case.id for case in find_cases(folder, params(layout="dicom"))[0]] == ["scan_7"]


@pytest.mark.parametrize("layout", ["folder", "msd", "bids", "dicom"])
def test_an_empty_folder_says_what_was_expected_and_what_is_there(tmp_path, params, layout):
    touch(tmp_path, "scans/readme.txt")
    with pytest.raises(FileNotFoundError, match=rf"expected .*layout: {layout}.* found scans"):
        find_cases(tmp_path, params(layout=layout))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_cases(tmp_path / "gone", params(layout=layout))


@given(st.text(min_size=1))
def test_ids_are_safe_file_names_whatever_the_source(name):
    case = safe_id(name)
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", case)
    assert ".." not in case


def test_a_bad_case_survives_being_sent_between_processes():
    error = BadCase("a", "b\nc", "d", case="e")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "e: expected a, found b c; d"
