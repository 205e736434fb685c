import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.manifest import (
    MANIFEST_COLUMNS,
    REPORT_COLUMNS,
    check_cases,
)
from slicefill.ingestion.reading import read_raw_case
from slicefill.ingestion.subjects import subject_of


@pytest.fixture
def folder(write, tmp_path):
    """Two cases; the label of `a` has 25 voxels of 4 mm³ with id 1."""
    stored = np.zeros((6, 5, 4), np.uint8)
    stored.ravel()[:25] = 1
    write("raw/images/a.nii.gz")
    write("raw/labels/a.nii.gz", stored)
    write("raw/images/b.nii.gz")
    return tmp_path / "raw"


def test_a_row_says_what_the_case_is(folder, params):
    manifest, report = check_cases(folder, params())
    assert list(manifest.columns) == MANIFEST_COLUMNS
    assert report.empty
    row = manifest.set_index("case").loc["a"]
    assert row["image"] == "images/a.nii.gz"
    assert row["label"] == "labels/a.nii.gz"
    assert row["shape"] == "6x5x4"
    assert row["spacing"] == "1.000x1.000x4.000"
    assert row["orientation"] == "RAS"
    assert (row["through_plane"], row["anisotropy"]) == (2, 4.0)
    assert row["dtype"] == "int16"
    assert row["p50"] == 59.5  # the median of 0 … 119
    assert json.loads(row["labels"]) == {"one": 0.1, "two": 0.0}
    for kind in ("image", "label"):
        content = (folder / row[kind]).read_bytes()
        assert row[f"{kind}_sha256"] == hashlib.sha256(content).hexdigest()


def test_a_case_without_a_label_has_empty_cells(folder, params):
    row = check_cases(folder, params())[0].set_index("case").loc["b"]
    assert (row["label"], row["label_sha256"], row["labels"]) == ("", "", "{}")


def test_ignored_labels_do_not_show(folder, params):
    manifest, _ = check_cases(folder, params(labels={"need": "ignored"}))
    assert set(manifest["label"]) == {""}


def test_a_bad_case_is_reported_and_the_others_go_on(folder, params):
    path = folder / "images/b.nii.gz"
    path.write_bytes(path.read_bytes()[:-4])
    manifest, report = check_cases(folder, params())
    assert list(manifest["case"]) == ["a"]
    assert list(report.columns) == REPORT_COLUMNS
    assert report.loc[0, ["case", "file"]].tolist() == ["b", "images/b.nii.gz"]
    with pytest.raises(BadCase, match=r"b: b\.nii\.gz"):
        check_cases(folder, params(strict=True))


def test_a_case_that_fails_in_an_unforeseen_way_is_reported_too(folder, params, monkeypatch):
    def fail_on_b(raw, settings):
        if raw.id == "b":
            raise KeyError("odd")
        return read_raw_case(raw, settings)

    monkeypatch.setattr("slicefill.ingestion.manifest.read_raw_case", fail_on_b)
    manifest, report = check_cases(folder, params())
    assert list(manifest["case"]) == ["a"]
    told = report.loc[0, ["case", "file", "found", "outcome"]].tolist()
    assert told == ["b", "images/b.nii.gz", "KeyError: 'odd'", "refused"]
    with pytest.raises(KeyError):
        check_cases(folder, params(strict=True))


def test_files_that_cannot_be_paired_are_reported(folder, params):
    (folder / "images/b.nii.gz").rename(folder / "labels/c.nii.gz")
    _, report = check_cases(folder, params())
    assert report["case"].tolist() == ["c"]
    with pytest.raises(BadCase, match="without an image"):
        check_cases(folder, params(strict=True))


def test_all_cases_bad_leaves_an_empty_manifest_with_its_columns(folder, params):
    settings = params(labels={"names": {5: "five"}, "need": "required"})
    manifest, report = check_cases(folder, settings)
    assert manifest.empty
    assert list(manifest.columns) == MANIFEST_COLUMNS
    assert report["case"].tolist() == ["a", "b"]


def test_the_digest_of_a_series_does_not_depend_on_file_names(
    tmp_path, params, slice_of, write_series
):
    slices = [slice_of(index) for index in range(3)]
    digests = set()
    for name, order in (("one", slices), ("two", slices[::-1])):
        write_series(tmp_path / name / "series", order)
        manifest, _ = check_cases(tmp_path / name, params(layout="dicom"))
        assert manifest["case"].tolist() == ["series"]
        digests |= {*manifest["image_sha256"]}
    assert len(digests) == 1


def test_the_digest_of_a_pair_covers_its_voxels(tmp_path, params):
    def sha256(value):
        stored = value + np.arange(120, dtype=np.int16).reshape(6, 5, 4)
        nib.save(nib.Nifti1Pair(stored, np.diag([1, 1, 4, 1])), tmp_path / "images" / "a.hdr")
        return check_cases(tmp_path, params())[0].loc[0, "image_sha256"]

    (tmp_path / "images").mkdir()
    assert sha256(1) == sha256(1) != sha256(2)


@pytest.mark.parametrize(("case", "subject"), [("h_001", "1"), ("h_002", "1"), ("h_003", "2")])
def test_consecutive_numbers_are_one_subject(params, case, subject):
    assert subject_of(case, params(subject_pattern=r"_(\d+)$", cases_per_subject=2)) == subject


def test_the_group_is_the_subject(params):
    assert subject_of("p7_ES", params(subject_pattern=r"^(\w+)_E[DS]$")) == "p7"


@pytest.mark.parametrize(("case", "cases_per_subject"), [("other", 1), ("p_x", 2), ("p_", 1)])
def test_an_id_without_a_subject_is_a_bad_case(params, case, cases_per_subject):
    settings = params(subject_pattern="^p_(.*)", cases_per_subject=cases_per_subject)
    with pytest.raises(BadCase, match="subject_pattern"):
        subject_of(case, settings)


def test_a_pattern_needs_one_group(params):
    with pytest.raises(ValueError, match="one group"):
        subject_of("a", params(subject_pattern="a"))


@pytest.fixture
def many(write, tmp_path):
    for number in range(6):
        write(f"raw/images/c{number}.nii.gz")
    return tmp_path / "raw"


def test_a_limit_draws_that_many_cases_by_the_seed(many, params):
    def drawn(seed, limit=3):
        return check_cases(many, params(limit=limit, split={"seed": seed}))[0]["case"].tolist()

    assert all(len(set(drawn(seed))) == 3 for seed in range(5))
    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1
    assert len(drawn(0, limit=99)) == 6


def test_cases_that_are_not_drawn_are_not_read(many, params):
    drawn = set(check_cases(many, params(limit=3))[0]["case"])
    for path in many.glob("images/*.nii.gz"):
        if path.name.removesuffix(".nii.gz") not in drawn:
            path.write_bytes(b"damaged")
    manifest, report = check_cases(many, params(limit=3))
    assert set(manifest["case"]) == drawn
    assert report.empty
