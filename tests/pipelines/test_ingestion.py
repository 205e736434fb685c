import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from slicefill.params import IngestionParams
from slicefill.pipelines.ingestion import check_raw_cases, import_cases, split_manifest


@pytest.fixture
def raw(tmp_path):
    """Four cases in images/ and labels/."""
    rng = np.random.default_rng(0)
    for number in range(4):
        for kind, top in (("images", 900), ("labels", 3)):
            path = tmp_path / kind / f"case-{number}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            stored = rng.integers(0, top, (6, 5, 8)).astype(np.int16)
            nib.save(nib.Nifti1Image(stored, np.diag([1, 1, 4, 1]), dtype=np.int16), path)
    return tmp_path


@pytest.fixture
def params(configuration):
    base = configuration()["parameters"]["ingestion"]
    return lambda **changes: IngestionParams(**{**base, **changes})


def broken(path):
    path.write_bytes(path.read_bytes()[:-20])


def test_a_broken_file_goes_to_the_report_and_the_others_to_the_manifest(raw, params):
    broken(raw / "images" / "case-2.nii.gz")
    manifest, report = check_raw_cases(raw, params())
    assert list(manifest["case"]) == ["case-0", "case-1", "case-3"]
    assert list(report["case"]) == ["case-2"]
    assert report["file"].item() == "images/case-2.nii.gz"


def test_when_no_case_can_be_used_the_reasons_are_in_the_error(raw, params):
    for number in range(4):
        broken(raw / "images" / f"case-{number}.nii.gz")
    with pytest.raises(ValueError, match=r"(?s)no case can be used.*case-3"):
        check_raw_cases(raw, params())


def test_promises_hold_the_stored_numbers_of_the_manifest_s_cases(raw, params):
    broken(raw / "images" / "case-2.nii.gz")
    manifest, _ = check_raw_cases(raw, params())
    promises = import_cases(raw, manifest, params())
    assert list(promises) == ["case-0", "case-1", "case-3"]
    case = promises["case-3"].make()
    seen = nib.load(raw / "images" / "case-3.nii.gz")
    np.testing.assert_array_equal(case.image.stored, np.asarray(seen.dataobj))


def test_nothing_is_read_before_a_promise_is_kept(raw, params):
    manifest, _ = check_raw_cases(raw, params())
    for path in raw.glob("*/*"):
        path.write_bytes(b"")
    assert len(import_cases(raw, manifest, params())) == 4


def marks(raw, params):
    manifest, _ = check_raw_cases(raw, params)
    return {case: one.fingerprint for case, one in import_cases(raw, manifest, params).items()}


def test_the_mark_follows_the_content_of_both_files(raw, params):
    before = marks(raw, params())
    assert marks(raw, params()) == before
    for kind, case in (("images", "case-1"), ("labels", "case-2")):
        seen = nib.load(raw / kind / f"{case}.nii.gz")
        stored = np.asarray(seen.dataobj).copy()
        stored[0, 0, 0] ^= 1
        nib.save(nib.Nifti1Image(stored, seen.affine), raw / kind / f"{case}.nii.gz")
    after = marks(raw, params())
    assert {case for case in before if before[case] != after[case]} == {"case-1", "case-2"}


def test_the_mark_follows_how_labels_are_merged(raw, params):
    labels = dict(params().labels)
    merged = params(labels={**labels, "groups": {0: [0], 1: [1, 2]}})
    before, after = marks(raw, params()), marks(raw, merged)
    assert all(before[case] != after[case] for case in before)


def test_every_case_is_in_one_split(raw, params):
    manifest, _ = check_raw_cases(raw, params())
    splits = split_manifest(manifest, params())
    assert sorted(splits["case"]) == sorted(manifest["case"])
    assert isinstance(splits, pd.DataFrame)
    assert set(splits["split"]) == {"train", "validation", "test"}
