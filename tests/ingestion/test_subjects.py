import logging
from pathlib import Path

import pytest

from slicefill.ingestion.found import RawCase
from slicefill.ingestion.layouts import find_cases
from slicefill.ingestion.manifest import check_cases
from slicefill.ingestion.subjects import views_of


def test_of_bids_views_differ_in_acquisition_and_run_alone(write, tmp_path, params):
    names = ("ses-1_acq-ax_T2w", "ses-1_acq-sag_run-2_T2w", "ses-2_acq-ax_T2w", "ses-1_acq-ax_T1w")
    for name in names:
        session = name[:5]
        write(f"raw/sub-7/{session}/anat/sub-7_{name}.nii.gz")
    wanted = params(layout="auto", subject_pattern="sub-([^_]+)", labels={"need": "ignored"})
    manifest = check_cases(tmp_path / "raw", wanted)[0].set_index("case")
    assert manifest["views"].to_dict() == {
        "sub-7_ses-1_acq-ax_T1w": "sub-7_ses-1_T1w",
        "sub-7_ses-1_acq-ax_T2w": "sub-7_ses-1_T2w",
        "sub-7_ses-1_acq-sag_run-2_T2w": "sub-7_ses-1_T2w",
        "sub-7_ses-2_acq-ax_T2w": "sub-7_ses-2_T2w",
    }
    assert set(manifest["subject"]) == {"7"}


@pytest.mark.parametrize(
    ("case", "views"), [("p1_axial", "p1"), ("p1_sagittal", "p1"), ("p2_axial", "p2"), ("x", "x")]
)
def test_a_pattern_names_what_views_have_in_common(params, case, views):
    settings = params(views_pattern="^(.+)_(?:axial|sagittal)$")
    assert views_of(RawCase(case, Path(case), None, "layout says else"), settings) == views


def test_without_a_word_a_case_is_alone(params):
    assert views_of(RawCase("a", Path("a"), None), params()) == "a"


def test_a_pattern_of_views_needs_one_group(params):
    with pytest.raises(ValueError, match="views_pattern must have one group"):
        views_of(RawCase("a", Path("a"), None), params(views_pattern="a"))


def test_of_dicom_series_of_one_study_are_views(tmp_path, params, slice_of, write_series):
    for folder, study in (("a", "1.2.3"), ("b", "1.2.3"), ("c", "1.2.4")):
        slices = [slice_of(z, series=f"1.9.{folder}") for z in range(3)]
        for each in slices:
            each.StudyInstanceUID = study
        write_series(tmp_path / folder, slices)
    found = find_cases(tmp_path, params(layout="dicom"))
    views = {case.id: case.views for case in found.cases}
    assert views["a"] == views["b"] != views["c"]
    assert "1.2.3" not in views["a"]  # a hospital would find the patient by it


def test_views_that_count_as_several_subjects_are_announced(write, tmp_path, params, caplog):
    for name in ("p1_ax", "p1_sag"):
        write(f"raw/images/{name}.nii.gz")
    pattern = {"views_pattern": "^(.+)_", "labels": {"need": "ignored"}}
    with caplog.at_level(logging.WARNING):
        check_cases(tmp_path / "raw", params(**pattern))
    assert "such as p1: set subject_pattern" in caplog.text
    caplog.clear()
    check_cases(tmp_path / "raw", params(**pattern, subject_pattern="^(.+)_"))
    assert "subject_pattern" not in caplog.text
