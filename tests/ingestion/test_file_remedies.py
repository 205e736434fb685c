"""What a refusal of a file or series advises is done, and ends well."""

import bz2
import gzip
import re
import shutil
import zipfile

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.layouts import find_cases, find_scans
from slicefill.ingestion.reading import read_raw_case

STORED = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
PAIRS = [(".hdr", ".img"), (".mhd", ".raw"), (".nhdr", ".raw")]


def write_pair(folder, header):
    """A header with its voxels beside it; a packed one would need no file of a certain length."""
    path = folder / f"scan{header}"
    if header == ".hdr":
        nib.save(nib.Nifti1Pair(STORED, np.diag([1.0, 1.0, 4.0, 1.0])), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(STORED.T), str(path))
    return path


@pytest.mark.parametrize(("header", "voxels"), PAIRS)
def test_voxels_that_are_not_there_are_named_and_put_there(tmp_path, read, header, voxels):
    path = write_pair(tmp_path, header)
    away = path.with_suffix(voxels).rename(tmp_path / "elsewhere")
    told = rf"found no such file; put scan\{voxels} beside scan\{header}"
    with pytest.raises(BadCase, match=told):
        read(path)
    away.rename(path.with_suffix(voxels))
    np.testing.assert_array_equal(read(path).image.stored, STORED)


@pytest.mark.parametrize(("header", "voxels"), PAIRS)
def test_voxels_that_were_cut_are_counted(tmp_path, read, header, voxels):
    path = write_pair(tmp_path, header)
    whole = path.with_suffix(voxels).read_bytes()
    path.with_suffix(voxels).write_bytes(whole[:-7])
    with pytest.raises(BadCase, match=r"expected 2\d\d bytes .* found 2\d\d; .*truncated"):
        read(path)
    path.with_suffix(voxels).write_bytes(whole)
    np.testing.assert_array_equal(read(path).image.stored, STORED)


@pytest.mark.parametrize(
    ("encoding", "cut", "found"),
    [("ascii", 200, "expected 120 numbers .* found 66;"), ("hex", 101, "expected 240 bytes.* 50;")],
)
def test_a_text_of_voxels_that_was_cut_is_counted(tmp_path, read, encoding, cut, found):
    path = write_pair(tmp_path, ".nhdr")
    header = path.read_text().replace("encoding: raw", f"encoding: {encoding}")
    header = "\n".join(line for line in header.splitlines() if "data file" not in line) + "\n\n"
    numbers = STORED.ravel(order="F")
    text = " ".join(map(str, numbers)) if encoding == "ascii" else numbers.tobytes().hex()
    whole = tmp_path / "text.nrrd"
    whole.write_text(header + text[:cut])
    with pytest.raises(BadCase, match=rf"text\.nrrd: {found}.*truncated"):
        read(whole)
    whole.write_text(header + text)
    np.testing.assert_array_equal(read(whole).image.stored, STORED)


def test_an_encoding_that_itk_lacks_is_refused_with_one_that_it_reads(tmp_path, read):
    path = tmp_path / "scan.nrrd"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(STORED.T), str(path), True)
    header, _, packed = path.read_bytes().partition(b"\n\n")
    voxels = gzip.decompress(packed)
    path.write_bytes(header.replace(b"gzip", b"bzip2") + b"\n\n" + bz2.compress(voxels))
    with pytest.raises(BadCase, match=r"found encoding bzip2; .* with encoding gzip"):
        read(path)
    path.write_bytes(header + b"\n\n" + gzip.compress(voxels))
    np.testing.assert_array_equal(read(path).image.stored, STORED)


def test_a_pair_with_compressed_voxels_is_read(tmp_path, read):
    path = write_pair(tmp_path, ".hdr")
    voxels = path.with_suffix(".img")
    path.with_suffix(".img.gz").write_bytes(gzip.compress(voxels.read_bytes()))
    voxels.unlink()
    np.testing.assert_array_equal(read(path).image.stored, STORED)


@pytest.mark.parametrize("suffix", [".mgz", ".nrrd", ".gipl.gz"])
def test_bytes_behind_a_gzip_stream_are_passed_over(tmp_path, read, suffix):
    path = tmp_path / f"scan{suffix}"
    if suffix == ".mgz":
        nib.save(nib.MGHImage(STORED, np.diag([1.0, 1.0, 4.0, 1.0])), path)
    elif suffix == ".nrrd":
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(STORED.T), str(path), True)
    else:
        plain = tmp_path / "plain.gipl"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(STORED.T), str(plain))
        path.write_bytes(gzip.compress(plain.read_bytes()))
    path.write_bytes(path.read_bytes() + b"what a transfer left")
    np.testing.assert_array_equal(read(path).image.stored, STORED)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda whole: whole[:-30], "ends too early"),
        (lambda whole: b"<html>not found</html>", "a web page"),
        (lambda whole: b"", "an empty file"),
        (lambda whole: whole[:60] + bytes(20) + whole[80:], "rror"),
    ],
    ids=["cut", "a web page", "empty", "changed"],
)
def test_a_bad_zip_is_said_and_a_whole_one_is_read(tmp_path, write, params, damage, found):
    path, settings = tmp_path / "scans.zip", params(layout="auto")
    content = np.random.default_rng(0).integers(0, 999, (6, 5, 4)).astype(np.int16)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(write("scan.nii", content), "scan.nii")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with (
        pytest.raises(BadCase, match=rf"whole \.zip.*{found}.*download it again"),
        find_scans(path, settings),
    ):
        pass
    path.write_bytes(whole)
    with find_scans(path, settings) as read:
        assert [case.id for case in read.cases] == ["scan"]


def test_a_zip_in_a_zip_is_named_by_archive_and_member(tmp_path, write, params):
    settings = params(layout="auto")
    inner, outer = tmp_path / "inner.zip", tmp_path / "outer.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.write(write("scan.nii", STORED), "scan.nii")
    with zipfile.ZipFile(outer, "w") as archive:
        archive.write(inner, "visit 1/inner.zip")
    told = rf"^{re.escape(str(outer))}: expected .*found visit 1/inner\.zip \(.*unpack it\)$"
    with pytest.raises(FileNotFoundError, match=told), find_scans(outer, settings):
        pass
    with find_scans(inner, settings) as found:  # unpacked, as it says
        assert [case.id for case in found.cases] == ["scan"]


def test_components_on_the_fifth_axis_are_channels(tmp_path, read):
    stored = np.stack([STORED, STORED + 1, STORED + 2], axis=-1)[:, :, :, None]
    image = nib.Nifti1Image(stored, np.diag([1.0, 1.0, 4.0, 1.0]))
    image.header.set_intent("vector")
    nib.save(image, tmp_path / "field.nii")
    made = read(tmp_path / "field.nii", channel="all").image
    np.testing.assert_array_equal(made.stored, stored[:, :, :, 0])
    assert made.header.get_intent()[0] == "none"  # it would say that a fifth axis holds them


def test_a_list_of_dicom_files_is_left_aside(tmp_path, params, slice_of, write_series):
    folder = write_series(tmp_path / "disc", [slice_of(k) for k in range(3)])
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(50))
    found = find_cases(tmp_path, params(layout="auto"))
    assert len(found.cases) == 1
    assert not found.refused
    ((name, reason),) = [(each.path.name, each.reason) for each in found.left_aside]
    assert name == "DICOMDIR"
    assert "the files themselves are read" in reason
    with (
        pytest.raises(FileNotFoundError, match="give its folder"),
        find_scans(folder / "DICOMDIR", params(layout="auto")),
    ):
        pass


@pytest.mark.parametrize("length", [0, 150, 400])
def test_a_slice_whose_header_was_cut_is_refused(tmp_path, params, slice_of, write_series, length):
    folder = write_series(tmp_path / "cut", [slice_of(k) for k in range(4)])
    bad = max(folder.iterdir(), key=lambda path: pydicom.dcmread(path).ImagePositionPatient[2])
    bad.write_bytes(bad.read_bytes()[:length])
    found = find_cases(tmp_path, params(layout="auto"))
    assert [error.file for error in found.refused] == [bad]
    assert not found.left_aside
    assert len(found.cases) == 1


# --- several scans in one series --------------------------------------------------------------


def joined(slice_of, parts, numbers=(1, 1)):
    """Slices of one series in parts: the positions of each, mm; an acquisition number for each."""
    slices = []
    for number, positions in zip(numbers, parts, strict=True):
        for position in positions:
            each = slice_of(len(slices), np.eye(3))
            each.ImagePositionPatient, each.AcquisitionNumber = list(position), number
            slices.append(each)
    return slices


def at(heights, x=0.0):
    return [(x, 0.0, float(height)) for height in heights]


PARTS = {
    "two spacings": (at(range(0, 12, 3)), at(range(14, 35, 5))),
    "two places": (at(range(0, 20, 4)), at(range(200, 220, 4))),
    "a jump to the side": (at(range(0, 20, 4)), at(range(20, 40, 4), x=50.0)),
}


@pytest.mark.parametrize("kind", PARTS)
def test_scans_of_one_series_are_imputed_apart_as_told(
    tmp_path, params, slice_of, write_series, kind
):
    settings = params(layout="auto", step_tolerance=0.05)
    folder = write_series(tmp_path / "raw", joined(slice_of, PARTS[kind]))
    (case,) = find_cases(folder, settings).cases
    with pytest.raises(BadCase, match="copy the files of each into a folder outside of this one"):
        read_raw_case(case, settings)
    first = len(PARTS[kind][0])
    files = sorted(
        folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2])
    )
    for part, own in {"one": files[:first], "two": files[first:]}.items():
        (tmp_path / part).mkdir()
        for path in own:
            shutil.copy(path, tmp_path / part)
        (case,) = find_cases(tmp_path / part, settings).cases
        assert read_raw_case(case, settings).image.stored.shape[2] == len(own)


@pytest.mark.parametrize("kind", PARTS)
def test_acquisitions_at_several_places_are_cases_of_their_own(
    tmp_path, params, slice_of, write_series, caplog, kind
):
    settings = params(layout="auto", step_tolerance=0.05)
    folder = write_series(tmp_path / "raw", joined(slice_of, PARTS[kind], numbers=(2, 7)))
    cases = find_cases(folder, settings).cases
    assert [case.id for case in cases] == ["raw-acquisition2", "raw-acquisition7"]
    counts = [read_raw_case(case, settings).image.stored.shape[2] for case in cases]
    assert counts == [len(part) for part in PARTS[kind]]
    assert "on one grid" not in caplog.text


def test_acquisitions_that_may_be_one_scan_with_a_gap_are_one_as_told(
    tmp_path, params, slice_of, write_series, caplog
):
    settings = params(layout="auto", step_tolerance=0.05, missing_slices="impute")
    parts = at([0, 4, 8]), at([20, 24, 28])
    folder = write_series(tmp_path / "raw", joined(slice_of, parts, numbers=(1, 2)))
    assert len(find_cases(folder, settings).cases) == 2
    assert "2 acquisitions of a series lie on one grid, 2 slices short" in caplog.text
    assert "take AcquisitionNumber out" in caplog.text
    for path in folder.iterdir():
        each = pydicom.dcmread(path)
        del each.AcquisitionNumber
        each.save_as(path)
    (case,) = find_cases(folder, settings).cases
    assert read_raw_case(case, settings).absent == (3, 4)


@pytest.mark.parametrize(
    "parts",
    [
        (at(range(0, 12, 4)), at(range(12, 24, 4))),  # even as a whole
        (at(range(0, 40, 8)), at([4, 12, 28, 36])),  # interleaved, a slice missing
        (at([0, 4, 12]), at([200, 204, 208])),  # a slice of the first is missing
        (at([0]), at([8, 12, 16])),  # a number of its own for a slice
    ],
    ids=["even", "interleaved", "missing", "single"],
)
def test_other_acquisitions_stay_one_case(tmp_path, params, slice_of, write_series, parts):
    folder = write_series(tmp_path / "raw", joined(slice_of, parts, numbers=(1, 2)))
    assert len(find_cases(folder, params(layout="auto")).cases) == 1


def test_of_two_slices_at_one_position_one_is_removed(
    tmp_path, params, slice_of, write_series, read
):
    slices = joined(slice_of, (at([0, 4, 8, 12]), at([8])))
    folder = write_series(tmp_path / "raw", slices)
    names = sorted(
        path.name for path in folder.iterdir() if pydicom.dcmread(path).ImagePositionPatient[2] == 8
    )
    with pytest.raises(BadCase, match="remove the one of them") as refused:
        read(folder)
    assert all(name in refused.value.found for name in names)
    (folder / names[0]).unlink()
    assert read(folder).image.stored.shape[2] == 4


def test_scans_that_bids_does_not_know_are_read_where_no_nifti_has_their_name(tmp_path, params):
    anat = tmp_path / "sub-1" / "anat"
    anat.mkdir(parents=True)
    for name in ("sub-1_T1w.mgz", "sub-1_T2w.nii.gz", "sub-1_T2w.mgz"):
        kind = nib.MGHImage if name.endswith("mgz") else nib.Nifti1Image
        nib.save(kind(STORED, np.diag([1.0, 1.0, 4.0, 1.0])), anat / name)
    found = find_cases(tmp_path, params(layout="auto"))
    assert [case.place.name for case in found.cases] == ["sub-1_T1w.mgz", "sub-1_T2w.nii.gz"]
    ((name, reason),) = [(each.path.name, each.reason) for each in found.left_aside]
    assert name == "sub-1_T2w.mgz"
    assert "another format" in reason


def test_an_nrrd_in_micrometres_is_refused_and_read_once_it_is_in_mm(tmp_path, read):
    path = tmp_path / "scan.nrrd"
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\n"
        "space directions: (1,0,0) (0,1,0) (0,0,4)\nendian: little\nencoding: raw\n"
        'space units: "um" "um" "um"\n\n'
    )
    path.write_bytes(head.encode() + STORED.T.tobytes())
    with pytest.raises(BadCase, match="header in mm, found space units of um"):
        read(path)
    path.write_bytes(head.replace("um", "mm").encode() + STORED.T.tobytes())
    np.testing.assert_array_equal(read(path).image.stored, STORED)


@pytest.mark.parametrize("spacings", ["1 1 nan", "NaN NaN NaN"])
def test_an_nrrd_without_spacing_is_refused_and_read_once_it_has_one(tmp_path, read, spacings):
    path = tmp_path / "scan.nrrd"
    head = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nspacings: {}\n"
        "endian: little\nencoding: raw\n\n"
    )
    path.write_bytes(head.format(spacings).encode() + STORED.T.tobytes())
    with pytest.raises(BadCase, match="spacing of every axis, found spacings"):
        read(path)
    path.write_bytes(head.format("1 1 4").encode() + STORED.T.tobytes())
    assert read(path).image.spacing == pytest.approx((1, 1, 4))


def test_the_voxels_of_a_pair_stand_for_its_header(tmp_path, params):
    write_pair(tmp_path, ".hdr")
    with find_scans(tmp_path / "scan.img", params()) as found:
        assert [case.place.name for case in found.cases] == ["scan.hdr"]
