import json
import pickle
import re
import unicodedata

import numpy as np
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
        every = find_cases(tmp_path, params(layout=layout, **changes))
        cases, bad = every.cases, every.refused
        relative = {
            case.id: tuple(
                path.relative_to(tmp_path).as_posix() if path else None
                for path in (case.place, case.label)
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


def test_images_of_one_name_are_refused(tmp_path, found):
    names = ("a.nii", "a.nii.gz")
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


@pytest.mark.parametrize("layout", ["msd", "auto"])
def test_the_list_of_nnunet_names_no_channels(tmp_path, found, layout):
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "imagesTr/b_0001.nii.gz")
    entries = [{"image": f"./imagesTr/{name}.nii.gz", "label": "l.nii.gz"} for name in "abc"]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries}))
    cases, _ = found(layout)
    assert {name: image for name, (image, _) in cases.items()} == {
        "a": "imagesTr/a_0000.nii.gz",
        "b": "imagesTr/b_0000.nii.gz",
        "c": "imagesTr/c.nii.gz",
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
    every = find_cases(folder, params(layout="msd"))
    assert every.cases == []
    assert "inside the folder" in every.refused[0].expected


def test_msd_refuses_absolute_paths_even_inside_the_folder(tmp_path, found):
    touch(tmp_path, "x.nii")
    index = {"training": [{"image": str(tmp_path / "x.nii")}]}
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    cases, bad = found("msd")
    assert (cases, [fault.case for fault in bad]) == ({}, ["x"])


LISTED = '{"training": [{"image": ["a.nii", "b.nii"], "label": "l.nii"}]}'


@pytest.mark.parametrize("layout", ["msd", "auto"])
def test_several_images_in_an_entry_are_refused_with_what_helps(tmp_path, params, layout):
    touch(tmp_path, "a.nii", "b.nii")
    (tmp_path / "dataset.json").write_text(LISTED)
    told = (
        r"dataset\.json: expected .*, a path each, got .*image \['a.nii', 'b.nii'\] .*layout=tree"
    )
    with pytest.raises(ValueError, match=told):
        find_cases(tmp_path, params(layout=layout))
    assert len(find_cases(tmp_path, params(layout="tree")).cases) == 2


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


def test_bids_takes_no_label_of_another_space_or_grid(write, found):
    """As fMRIPrep names them: on the grid of T1w, and one in a template's space."""
    elsewhere, far = (
        np.diag([1.0, 1, 4, 1]) + np.outer([by, 0, 0, 0], [0, 0, 0, 1]) for by in (3, 9)
    )
    write("sub-1/anat/sub-1_T1w.nii")
    write("sub-1/anat/sub-1_T2w.nii", affine=elsewhere)
    write("sub-2/anat/sub-2_T1w.nii")
    write("derivatives/sub-1_dseg.nii")
    write("derivatives/sub-1_space-MNI_dseg.nii", affine=far)
    write("sub-3/anat/sub-3_T2w.nii")
    write("derivatives/sub-3_space-native_dseg.nii")
    write("derivatives/sub-2_space-T1w_dseg.nii")
    write("derivatives/sub-2_space-MNI_T1w_dseg.nii", affine=far)
    assert found("auto") == (
        {
            "sub-1_T1w": ("sub-1/anat/sub-1_T1w.nii", "derivatives/sub-1_dseg.nii"),
            "sub-1_T2w": ("sub-1/anat/sub-1_T2w.nii", None),
            "sub-2_T1w": ("sub-2/anat/sub-2_T1w.nii", "derivatives/sub-2_space-T1w_dseg.nii"),
            "sub-3_T2w": ("sub-3/anat/sub-3_T2w.nii", "derivatives/sub-3_space-native_dseg.nii"),
        },
        [],
    )


def test_a_label_that_names_its_image_is_taken_whatever_its_grid(write, found, read, tmp_path):
    image = write("sub-1/anat/sub-1_T1w.nii")
    label = write("derivatives/sub-1_T1w_dseg.nii", affine=np.eye(4))
    label_name = label.relative_to(tmp_path).as_posix()
    assert found("auto")[0]["sub-1_T1w"][1] == label_name
    with pytest.raises(BadCase, match="a label map on the grid of the image"):
        read(image, label)


def test_dicom_takes_every_folder_with_dicom_files(tmp_path, found, slice_of, write_series):
    for name in ("p1/s1", "p1/s2", "p2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_series(tmp_path / name, [slice_of(k, series=name) for k in (0, 1)])
    touch(tmp_path, "p1/s1/readme.txt", "empty/notes.txt")
    assert found("dicom")[0] == {
        "p1_s1": ("p1/s1", None),
        "p1_s2": ("p1/s2", None),
        "p2": ("p2", None),
    }


def test_dicom_files_right_in_the_folder_are_one_case(tmp_path, params, slice_of, write_series):
    folder = write_series(tmp_path / "scan 7", [slice_of(0), slice_of(1)])
    assert [case.id for case in find_cases(folder, params(layout="dicom")).cases] == ["scan_7"]


def test_labels_are_found_in_masks_and_segmentations_and_in_subfolders(tmp_path, found):
    touch(tmp_path, "images/a.nii", "images/p1/b.NII.GZ", "images/c.mgz")
    touch(tmp_path, "masks/a.nii.gz", "segmentations/p1/b.mha", "labels/a.nii")
    cases, bad = found("folder")
    assert cases == {
        "a": ("images/a.nii", "labels/a.nii"),
        "c": ("images/c.mgz", None),
        "p1_b": ("images/p1/b.NII.GZ", "segmentations/p1/b.mha"),
    }
    assert bad == []


def test_a_label_of_nnunet_belongs_to_its_only_channel(tmp_path, found):
    touch(tmp_path, "imagesTr/a_0000.nii", "labelsTr/a.nii")
    touch(tmp_path, "imagesTr/b_0000.nii", "imagesTr/b_0001.nii", "labelsTr/b.nii")
    cases, bad = found("folder")
    assert cases["a_0000"] == ("imagesTr/a_0000.nii", "labelsTr/a.nii")
    assert [fault.case for fault in bad] == ["b"]


def test_names_composed_and_decomposed_are_one(tmp_path, found):
    touch(tmp_path, unicodedata.normalize("NFD", "images/\u00e9.nii"))
    touch(tmp_path, unicodedata.normalize("NFC", "labels/\u00e9.nii"))
    ((case, (_, label)),) = found("folder")[0].items()
    assert case == unicodedata.normalize("NFC", "\u00e9")
    assert label is not None


@pytest.mark.parametrize("mark", ["_seg", "-seg", "_label", "_labels", "_mask", "_dseg", ".seg"])
def test_a_label_beside_its_image_is_told_by_its_name(tmp_path, found, mark):
    touch(tmp_path, "p1/t2.nii.gz", f"p1/t2{mark}.nrrd", "p2/t2.nii.gz")
    assert found("tree") == (
        {"p1_t2": ("p1/t2.nii.gz", f"p1/t2{mark}.nrrd"), "p2_t2": ("p2/t2.nii.gz", None)},
        [],
    )


def test_labels_of_other_namings(tmp_path, found):
    touch(tmp_path, "one/ct.nii", "one/seg.nii", "two/run-1_T2w.nii", "two/run-1_mask.nii")
    touch(tmp_path, "sc/t2s.nii", "sc/t2s_seg.nii", "sc/t2s_gmseg_manual.nii")
    touch(tmp_path, "q/images/x.nii", "q/labels/x.nii")
    cases, bad = found("tree")
    assert {case: label for case, (_, label) in cases.items()} == {
        "one_ct": "one/seg.nii",
        "two_run-1_T2w": "two/run-1_mask.nii",
        "sc_t2s": "sc/t2s_seg.nii",
        "q_images_x": "q/labels/x.nii",
    }
    assert bad == []


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("a.nii", "masks/a.nii"),
        ("p1/a.nii", "labels/p1/a.nii.gz"),
        ("p1/image/a.nii", "p1/Segmentation/a.nii"),
        ("p1/img/a.nii", "p1/gt/a_gt.nii"),
        ("p1/scans/a_0000.nii", "p1/labelsTr/a.nii"),
    ],
)
def test_a_label_in_a_folder_of_labels(tmp_path, found, image, label):
    touch(tmp_path, image, label, "zzz.nii")
    cases, bad = found("tree")
    assert {pair for pair in cases.values() if pair[1]} == {(image, label)}
    assert len(cases) == 2
    assert bad == []


def test_a_label_in_a_folder_of_labels_without_an_image_is_refused(tmp_path, found):
    touch(tmp_path, "a.nii", "masks/b.nii")
    cases, bad = found("tree")
    assert list(cases) == ["a"]
    assert [(fault.case, fault.found) for fault in bad] == [("masks_b", "a label without an image")]


def test_labels_beside_the_scans_in_images(tmp_path, found):
    touch(tmp_path, "images/a.nii", "images/a_seg.nii", "images/lone_mask.nii")
    assert found("folder") == (
        {
            "a": ("images/a.nii", "images/a_seg.nii"),
            "lone_mask": ("images/lone_mask.nii", None),
        },
        [],
    )


def test_a_label_in_a_tree_that_fits_no_image_or_several_is_refused(tmp_path, found):
    touch(tmp_path, "a_seg.nii", "b_T1w.nii", "b_T2w.nii", "b_mask.nii")
    cases, bad = found("tree")
    assert set(cases) == {"b_T1w", "b_T2w"}
    assert [(fault.case, fault.found) for fault in bad] == [
        ("a_seg", "a label without an image"),
        ("b_mask", "a label that fits 2 images: b_T1w, b_T2w"),
    ]


def test_labels_that_were_propagated_beside_a_scan_are_not_its_label_map(tmp_path, found):
    touch(tmp_path, "a.nii.gz", "a_seg.nii.gz", "a_propagated_label.nii.gz", "b.nii.gz")
    assert found("auto") == ({"a": ("a.nii.gz", "a_seg.nii.gz"), "b": ("b.nii.gz", None)}, [])


def test_maps_of_confidence_beside_what_they_are_of_are_no_scans(tmp_path, found):
    touch(tmp_path, "a.nii.gz", "a_seg.nii.gz", "a_propagated_label.nii.gz")
    touch(tmp_path, "a_propagated_label_confidence.nii.gz", "a_isotropic.nii.gz")
    touch(tmp_path, "a_isotropic_confidence.nii.gz", "b_confidence.nii.gz")
    cases, bad = found("auto")
    assert set(cases) == {"a", "a_isotropic", "b_confidence"}  # the last is of nothing here
    assert bad == []


@pytest.mark.parametrize("labels", [[], ["labels/a.nii.gz"]])
def test_what_was_made_beside_the_scans_of_images_is_no_scan(tmp_path, found, labels):
    made = "a_propagated_label", "a_propagated_label_confidence", "a_isotropic_confidence"
    given = "a", "a_isotropic", "b_confidence", "c_propagated_label"  # the last two are of nothing
    touch(tmp_path, *labels, *(f"images/{name}.nii.gz" for name in (*given, *made)))
    cases, bad = found("folder")
    assert set(cases) == set(given)
    assert bad == []


def test_auto_takes_bids_with_images_of_every_suffix(tmp_path, found):
    touch(tmp_path, "dataset_description.json", "sub-1/anat/sub-1_T1w.nii.gz")
    touch(tmp_path, "sub-1/anat/._sub-1_T1w.nii.gz", "sub-1/ct/sub-1_ct.nii.gz")
    touch(tmp_path, "sub-1/func/sub-1_task-rest_bold.nii.gz")
    touch(tmp_path, "derivatives/x/sub-1/anat/sub-1_T1w_dseg.nii.gz")
    cases, bad = found("auto")
    assert cases == {
        "sub-1_T1w": (
            "sub-1/anat/sub-1_T1w.nii.gz",
            "derivatives/x/sub-1/anat/sub-1_T1w_dseg.nii.gz",
        ),
        "sub-1_ct": ("sub-1/ct/sub-1_ct.nii.gz", None),
    }
    assert bad == []


def test_auto_takes_what_is_there(tmp_path, params):
    def ids(folder):
        return [case.id for case in find_cases(tmp_path / folder, params(layout="auto")).cases]

    touch(tmp_path, "plain/images/a.nii", "plain/labels/a.nii", "plain/b.nii")
    touch(tmp_path, "task/imagesTr/c.nii", "task/other/d.nii", "nnunet/imagesTr/e_0000.nii")
    index = {"training": [{"image": "imagesTr/c.nii"}]}
    (tmp_path / "task" / "dataset.json").write_text(json.dumps(index))
    (tmp_path / "nnunet" / "dataset.json").write_text(json.dumps({"numTraining": 1}))
    touch(tmp_path, "tree/p1/scan.mha", "tree/p2/scan.mha", "loose/dataset_description.json")
    touch(tmp_path, "loose/run-1_T2w.nii")
    assert ids("plain") == ["a"]
    assert ids("task") == ["c"]
    assert ids("nnunet") == ["e_0000"]
    assert ids("tree") == ["p1_scan", "p2_scan"]
    assert ids("loose") == ["run-1_T2w"]


@pytest.mark.parametrize("layout", ["auto", "folder", "msd", "bids", "dicom", "tree"])
def test_an_empty_folder_says_what_was_expected_and_what_is_there(tmp_path, params, layout):
    touch(tmp_path, "scans/readme.txt")
    with pytest.raises(
        FileNotFoundError, match=rf"expected .*layout: {layout}.* found scans/readme"
    ):
        find_cases(tmp_path, params(layout=layout))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_cases(tmp_path / "gone", params(layout=layout))


@given(st.text(min_size=1))
def test_ids_are_safe_file_names_whatever_the_source(name):
    case = safe_id(name)
    assert not re.search(r"[\s/\\:*?\"<>|\0]|^\.", case)
    assert len(case.encode()) <= 200
    assert safe_id(case) == case
    assert ".." not in case


def test_a_bad_case_survives_being_sent_between_processes():
    error = BadCase("a", "b\nc", "d", case="e")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "e: expected a, found b c; d"
