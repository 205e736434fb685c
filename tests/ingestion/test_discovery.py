import os
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.companions import source_files
from slicefill.ingestion.found import distinct_ids, group_left_aside
from slicefill.ingestion.layouts import find_cases, find_scans
from slicefill.ingestion.manifest import check_cases
from slicefill.ingestion.reading import read_raw_case

LAYOUTS = ["auto", "folder", "tree", "bids", "dicom"]
EVERYTHING = [
    "images/a.nii.gz",
    "images/A B.NII",
    "images/twice.nii",
    "images/twice.nii.gz",
    "labels/twice.nii",
    "images/pair.hdr",
    "images/pair.img",
    "images/alone.img",
    "images/p1/deep.mgz",
    "images/._a.nii.gz",
    "images/notes.txt",
    "images/a.json",
    "images/odd.nii.xz",
    "images/slice.dcm",
    "labels/a.mha",
    "labels/nobody.nii",
    "masks/a.nii",
    "README",
    "Thumbs.db",
    "other/b.gipl.gz",
    "sub-1/anat/sub-1_T2w.nii.gz",
    "sub-1/anat/._sub-1_T2w.nii.gz",
    "sub-1/anat/sub-1_T1w.nii.gz",
    "derivatives/sub-1_dseg.nii.gz",
    "derivatives/sub-9_dseg.nii.gz",
]


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def everything(tmp_path, slice_of, write_series):
    touch(tmp_path, *EVERYTHING, ".git/objects/x.nii.gz")
    write_series(tmp_path / "series", [slice_of(k) for k in range(3)])
    return tmp_path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_file_is_used_or_refused_or_left_aside(everything, params, layout):
    found = find_cases(everything, params(layout=layout))
    parts = [file for case in found.cases for file in source_files(case.image)]
    parts += {case.label for case in found.cases if case.label}  # BIDS: two images may share one
    parts += [error.file for error in found.refused]
    aside = [each.path for each in found.left_aside]
    files = {p for p in everything.rglob("*") if p.is_file() and ".git" not in p.parts}
    assert {*parts, *aside} - {everything / ".git"} == files
    assert len(parts) + len(aside) == len(files) + 1  # none is in two of them
    assert everything / ".git" in aside
    assert all(each.reason for each in found.left_aside)


def test_what_is_left_aside_is_told_and_is_no_failure(everything, write, params, caplog):
    caplog.set_level("INFO")
    for path in everything.glob("images/*.nii*"):
        path.unlink()
    write("images/a.nii.gz")
    for label in ("labels/a.mha", "masks/a.nii"):
        (everything / label).unlink()
    manifest, report = check_cases(everything, params())
    assert manifest["case"].tolist() == ["a"]
    outcomes = report.groupby("outcome")["case"].apply(list).to_dict()
    assert outcomes["refused"] == ["A_B", "nobody", "p1_deep", "pair", "twice"]
    assert set(outcomes["left aside"]) == {""}
    aside = report[report["outcome"] == "left aside"].set_index("found")["file"]
    assert aside["a sidecar of metadata"] == "images/a.json"
    assert aside["voxels whose header is not there"] == "images/alone.img"
    assert "left aside: images/a.json: a sidecar of metadata" in caplog.text
    assert "= 1 cases + 5 refused + " in caplog.text


def test_linked_folders_are_followed_once(tmp_path, params):
    touch(tmp_path, "elsewhere/a.nii", "raw/real/b.nii")
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw" / "again").symlink_to(tmp_path / "raw" / "real")
    (tmp_path / "raw" / "loop").symlink_to(tmp_path / "raw")
    found = find_cases(tmp_path / "raw", params(layout="tree"))
    assert [case.id for case in found.cases] == ["link_a", "real_b"]
    assert {each.path.name for each in found.left_aside} == {"again", "loop"}


def test_what_cannot_be_opened_is_named(tmp_path, params, monkeypatch):
    touch(tmp_path, "raw/a.nii", "raw/IM1", "raw/closed/b.nii")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    def opened(path, *rest):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "open", opened)
    found = find_cases(tmp_path / "raw", params(layout="tree"))
    assert [case.id for case in found.cases] == ["a"]
    assert [(error.file.name, error.remedy) for error in found.refused] == [
        ("IM1", "check its permissions")
    ]
    assert [(each.path.name, each.reason) for each in found.left_aside] == [
        ("closed", "a folder that cannot be read (PermissionError)")
    ]
    with pytest.raises(BadCase, match=r"PermissionError.*check its permissions"):
        read_raw_case(found.cases[0], params())


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=8))
def test_different_names_have_different_ids(names):
    assert len({*distinct_ids(names)}) == len(names)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["患者甲", "患者乙"], ["患者甲", "患者乙"]),
        (["Größe_scan.v2"], ["Größe_scan.v2"]),
        (["NA", "nan", "001"], ["NA", "nan", "001"]),
        (["_COMPLETE", "_failed.json", "_failed-0-of-2.json"],
         ["_COMPLETE_", "_failed.json_", "_failed-0-of-2.json_"]),
        (["हिन्दी"], ["हिन्दी"]),
    ],
)  # fmt: skip
def test_ids_keep_the_letters_of_any_script(names, ids):
    assert distinct_ids(names) == ids


def test_ids_that_would_be_equal_are_told_apart(tmp_path, params):
    touch(tmp_path, "images/a b.nii", "images/a_b.nii", "images/a+b.nii")
    found = find_cases(tmp_path, params())
    assert len({case.id for case in found.cases}) == 3
    assert "a_b" in {case.id for case in found.cases}
    assert found.refused == []


def test_a_name_that_is_no_utf8_stops_nothing(tmp_path, write, params):
    image = write("images/ok.nii.gz")
    (tmp_path / "images" / os.fsdecode(b"caf\xe9.nii.gz")).hardlink_to(image)
    (tmp_path / "images" / os.fsdecode(b"x\xe9.nrrd")).touch()
    manifest, report = check_cases(tmp_path, params())
    assert manifest["case"].tolist() == ["caf_", "ok"]
    refused = report[report["outcome"] == "refused"]
    assert refused["case"].tolist() == ["x_"]
    manifest.to_csv(tmp_path / "manifest.csv")
    report.to_csv(tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text(encoding="utf-8")


# --- a file, a folder, an archive -------------------------------------------------------------


def test_a_file_is_a_case(write, params):
    path = write("Größe scan.v2.nii.gz")
    with find_scans(path, params(layout="auto")) as found:
        (case,) = found.cases
    assert (case.id, case.image, case.label) == ("Größe_scan.v2", path, None)


def test_a_slice_stands_for_its_series(tmp_path, params, slice_of, write_series):
    folder = write_series(tmp_path / "d", [slice_of(k) for k in range(3)])
    write_series(tmp_path / "other", [slice_of(k, series="other") for k in range(2)])
    for path in (tmp_path / "other").iterdir():
        path.rename(folder / f"other-{path.name}")
    with find_scans(folder / "01.dcm", params(layout="auto")) as found:
        (case,) = found.cases
    assert sorted(path.name for path in case.image) == ["00.dcm", "01.dcm", "02.dcm"]


def test_a_zip_is_there_as_long_as_it_is_needed(tmp_path, write, params, slice_of, write_series):
    write("pack/a.nii.gz")
    write("pack/a_seg.nii.gz", np.zeros((6, 5, 4), np.uint8))
    write_series(tmp_path / "pack" / "d", [slice_of(k) for k in range(3)])
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        for path in (tmp_path / "pack").rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    settings = params(layout="auto")
    with find_scans(tmp_path / "scans.zip", settings) as found:
        cases = {case.id: read_raw_case(case, settings) for case in found.cases}
        place = found.cases[0].place
    assert set(cases) == {"a", "d"}  # not after the only folder in the archive
    assert cases["a"].label is not None
    assert cases["d"].image.stored.shape == (6, 5, 3)
    assert not place.exists()


def test_what_a_zip_holds_besides_is_named(tmp_path, write, params):
    image = write("scan.nii.gz")
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
        archive.write(image, "in/scan.nii.gz")
        archive.writestr("in/notes.txt", "hello")
    with find_scans(tmp_path / "scans.zip", params(layout="auto")) as found:
        told = group_left_aside(found.left_aside, tmp_path / "scans.zip")
    assert told == [("notes.txt", "a text, table or document", 1)]


def test_a_zip_of_dicom_files_is_called_after_the_archive(tmp_path, params, slice_of, write_series):
    folder = write_series(tmp_path / "d", [slice_of(k) for k in range(3)])
    with zipfile.ZipFile(tmp_path / "knee.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    with find_scans(tmp_path / "knee.zip", params(layout="auto")) as found:
        assert [case.id for case in found.cases] == ["knee"]


def test_what_is_no_scan_is_said(tmp_path, params):
    settings = params(layout="auto")
    (tmp_path / "notes.txt").write_text("hello")
    for name, said in (
        ("gone", "no such file"),
        ("gone.nii", "no such file"),
        ("notes.txt", "zip"),
    ):
        with pytest.raises(FileNotFoundError, match=said), find_scans(tmp_path / name, settings):
            pass
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("a.nii", bytes(1000))
    content = bytearray((tmp_path / "bad.zip").read_bytes())
    content[40] ^= 255
    (tmp_path / "bad.zip").write_bytes(bytes(content))
    bad = find_scans(tmp_path / "bad.zip", settings)
    with pytest.raises(BadCase, match="copy or download it again"), bad:
        pass


def test_a_volume_that_a_link_names_is_read(tmp_path, write, params):
    target = write("store/x.nii.gz")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "y.nii.gz").symlink_to(target)
    (case,) = find_cases(tmp_path / "raw", params(layout="auto")).cases
    stored = read_raw_case(case, params()).image.stored
    np.testing.assert_array_equal(stored, np.asarray(nib.load(target).dataobj))


def test_a_pipe_is_left_aside_and_nothing_waits_for_it(tmp_path, params):
    scans = tmp_path / "scans"
    scans.mkdir()
    os.mkfifo(scans / "pipe.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4)), np.eye(4)), scans / "scan.nii.gz")
    found = find_cases(scans, params(layout="auto"))
    assert [case.id for case in found.cases] == ["scan"]
    assert [(each.path.name, each.reason[:15]) for each in found.left_aside] == [
        ("pipe.nii.gz", "no regular file")
    ]
    with (
        pytest.raises(FileNotFoundError, match="no regular file"),
        find_scans(scans / "pipe.nii.gz", params(layout="auto")),
    ):
        pass
