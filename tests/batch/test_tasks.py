"""Where outputs go."""

from pathlib import Path

import pytest

from slicefill.batch.tasks import make_plan
from slicefill.ingestion.layouts import RawCase


def plan(tmp_path, source, out, cases, further=()):
    made = make_plan(tmp_path / source, out and tmp_path / out, cases, further)
    names = {
        case: {what: path.relative_to(tmp_path).as_posix() for what, path in task.outputs.items()}
        for case, task in made.tasks.items()
    }
    return names, made.folder and made.folder.relative_to(tmp_path).as_posix()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scan.nii.gz", "scan_isotropic.nii.gz"),
        ("scan.v2.nrrd", "scan.v2_isotropic.nrrd"),
        ("Größe.mha", "Größe_isotropic.mha"),
        ("scan.gipl.gz", "scan_isotropic.nii.gz"),
        ("scan.mhd", "scan_isotropic.nii.gz"),
        ("scan.mgz", "scan_isotropic.mgz"),
    ],
)
def test_one_file_in_one_file_out_beside_it(tmp_path, name, expected):
    file = tmp_path / name
    file.touch()
    stem = expected.partition("_isotropic")[0]
    names, folder = plan(tmp_path, name, None, [RawCase(stem, file, None)])
    assert names == {stem: {"image": expected}}
    assert folder is None


def test_a_folder_gives_a_folder(tmp_path):
    source = tmp_path / "scans"
    cases = [RawCase(n, source / f"{n}.nii.gz", None) for n in ("a", "b")]
    source.mkdir()
    assert plan(tmp_path, "scans", None, cases)[0]["b"] == {
        "image": "scans_isotropic/b_isotropic.nii.gz"
    }
    assert plan(tmp_path, "scans", "out", cases)[1] == "out"


def test_a_dicom_series_is_one_file_beside_its_folder(tmp_path):
    source = tmp_path / "series"
    source.mkdir()
    raw = RawCase("series", (source / "1.dcm", source / "2.dcm"), None)
    names, _ = plan(tmp_path, "series", None, [raw], ["dicom", "record"])
    assert names["series"] == {
        "image": "series_isotropic.nii.gz",
        "record": "series_isotropic.json",
        "dicom": "series_isotropic_dicom",
    }


def test_labels_masks_and_confidence_stand_beside_the_image(tmp_path):
    raw = RawCase("a", tmp_path / "a.nrrd", tmp_path / "seg.nrrd")
    raw.image.touch()
    names, _ = plan(tmp_path, "a.nrrd", "b.nrrd", [raw], ["mask", "confidence"])
    assert names["a"] == {
        "image": "b.nrrd",
        "label": "b_label.nrrd",
        "mask": "b_mask.nrrd",
        "confidence": "b_confidence.nii.gz",
    }


def test_a_suffix_in_capitals_is_one(tmp_path):
    raw = RawCase("A", tmp_path / "A.NII.GZ", None)
    raw.image.touch()
    names, _ = plan(tmp_path, "A.NII.GZ", "B.NII.GZ", [raw], ["mask", "record"])
    assert names["A"] == {"image": "B.NII.GZ", "mask": "B_mask.nii.gz", "record": "B.json"}


def test_a_folder_may_have_a_dot_in_its_name(tmp_path):
    raw = RawCase("a", tmp_path / "a.nii.gz", None)
    raw.image.touch()
    assert plan(tmp_path, "a.nii.gz", "v1.2", [raw])[1] == "v1.2"
    (tmp_path / "out.run").mkdir()
    assert plan(tmp_path, "a.nii.gz", "out.run", [raw])[1] == "out.run"


def test_an_output_never_replaces_an_input(tmp_path):
    raw = RawCase("a", tmp_path / "a.nii.gz", None)
    raw.image.touch()
    with pytest.raises(ValueError, match="another name than that of the input"):
        plan(tmp_path, "a.nii.gz", "a.nii.gz", [raw])


def test_many_scans_do_not_go_into_one_file(tmp_path):
    cases = [RawCase(n, Path(tmp_path, f"{n}.nii.gz"), None) for n in ("a", "b")]
    with pytest.raises(ValueError, match="a folder for the outputs of 2 scans"):
        plan(tmp_path, ".", "out.nii.gz", cases)
