"""Every format by its suffix, in any case, and content that is not what the suffix says."""

import bz2
import gzip
import lzma
import shutil
import struct
import subprocess

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from slicefill.ingestion.checks import BadCase

STORED = np.random.default_rng(3).integers(-900, 900, (6, 5, 4)).astype(np.int16)
AFFINE = np.array([[-1.0, 0, 0, 10], [0, 1, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])


def nifti():
    return nib.Nifti1Image(STORED, AFFINE).to_bytes()


def itk_file(path):
    image = SimpleITK.GetImageFromArray(STORED.T)
    image.SetSpacing((1.0, 1.0, 4.0))
    image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))  # LPS
    image.SetOrigin((-10.0, 20.0, 30.0))
    SimpleITK.WriteImage(image, str(path))
    return path


def make(folder, suffix):
    """Write the volume in a format, whatever the case of its suffix."""
    path = folder / f"scan{suffix}"
    lower = suffix.lower()
    if lower.startswith(".nii"):
        pack = {".nii": bytes, ".nii.gz": gzip.compress, ".nii.bz2": bz2.compress}[lower]
        path.write_bytes(pack(nifti()))
    elif lower == ".hdr":
        nib.save(nib.Nifti1Pair(STORED, AFFINE), folder / "made.hdr")
        (folder / "made.hdr").rename(path)
        (folder / "made.img").rename(folder / ("scan.IMG" if suffix.isupper() else "scan.img"))
    elif lower in (".mgz", ".mgh"):
        content = nib.MGHImage(STORED, AFFINE).to_bytes()
        path.write_bytes(gzip.compress(content) if lower == ".mgz" else content)
    elif lower == ".gipl.gz":
        path.write_bytes(gzip.compress(itk_file(folder / "made.gipl").read_bytes()))
    else:
        itk_file(folder / f"scan{lower}").rename(path)
    return path


SUFFIXES = [".nii", ".nii.gz", ".nii.bz2", ".hdr", ".mgz", ".mgh", ".nrrd", ".nhdr", ".mha", ".mhd"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, *map(str.upper, SUFFIXES), ".Nii.Gz"])
def test_voxels_and_places_are_the_same_in_every_format(tmp_path, read, suffix):
    image = read(make(tmp_path, suffix)).image
    np.testing.assert_array_equal(image.stored, STORED)
    assert image.stored.dtype.newbyteorder("=") == np.int16
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)


@pytest.mark.parametrize("suffix", [".gipl", ".gipl.gz", ".GIPL", ".GIPL.GZ"])
def test_gipl_has_no_direction_but_voxels_and_spacing(tmp_path, read, suffix):
    image = read(make(tmp_path, suffix)).image
    np.testing.assert_array_equal(image.stored, STORED)
    np.testing.assert_allclose(image.spacing, [1, 1, 4])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii.bz2", ".mgz", ".gipl.gz", ".mgh", ".gipl"])
def test_a_file_that_was_cut_is_refused(tmp_path, read, suffix):
    path = make(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(BadCase, match=r"whole and readable|truncated"):
        read(path)


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.nii.gz", bytes), ("a.nii", gzip.compress), ("a.nii.gz", bz2.compress),
     ("a.nii.gz", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]))],
)  # fmt: skip
def test_what_is_compressed_is_told_by_content_not_by_name(tmp_path, read, name, pack):
    (tmp_path / name).write_bytes(pack(nifti()))
    np.testing.assert_array_equal(read(tmp_path / name).image.stored, STORED)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
HTML = b"\n<!DOCTYPE html><html>404 not found</html>" * 20


@pytest.mark.parametrize(
    ("content", "found", "remedy"),
    [
        (LFS, "a pointer of Git LFS", "git lfs pull"),
        (HTML, "a web page", "download it again"),
        (b"", "an empty file", "download it again"),
        (gzip.compress(b"", mtime=0), "an empty file", "download it again"),
        (
            gzip.compress(gzip.compress(nifti(), mtime=0), mtime=0),
            "compressed twice",
            "decompress it once",
        ),
        (b"../../.git/annex/objects/xx/yy/SHA256E-s1--00.nii.gz", "git-annex", "git annex get"),
        (b"PK\3\4" + bytes(99), "a .zip archive", "unpack"),
        (lzma.compress(nifti()), "compressed by xz", "xz -d"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mgz"])
def test_foreign_content_is_named_with_what_helps(tmp_path, read, suffix, content, found, remedy):
    (tmp_path / f"scan{suffix}").write_bytes(content)
    with pytest.raises(BadCase) as caught:
        read(tmp_path / f"scan{suffix}")
    assert found in caught.value.found
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("true", [".nii", ".nrrd", ".mha", ".mgh", ".gipl"])
@pytest.mark.parametrize("false", [".nii.gz", ".nrrd", ".mha", ".mgz", ".gipl.gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_renaming_as_told_helps(tmp_path, read, true, false, pack):
    made = make(tmp_path, true)
    path = tmp_path / f"wrong{false}"
    path.write_bytes(pack(made.read_bytes()))
    try:
        stored = read(path).image.stored
    except BadCase as error:
        content = path.read_bytes()
        if "decompress" in error.remedy:
            content = gzip.decompress(content)
        right = tmp_path / f"right{error.remedy.rpartition(' ')[2]}"
        right.write_bytes(content)
        stored = read(right).image.stored
    np.testing.assert_array_equal(stored, STORED)


def test_a_file_compressed_twice_is_read_after_what_is_told(tmp_path, read):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(gzip.compress(nifti())))
    subprocess.run(["gzip", "-d", path], check=True)
    np.testing.assert_array_equal(read(tmp_path / "scan.nii").image.stored, STORED)


def test_a_broken_link_is_said(tmp_path, read):
    (tmp_path / "scan.nii.gz").symlink_to(tmp_path / "gone")
    with pytest.raises(BadCase, match="a link to nothing"):
        read(tmp_path / "scan.nii.gz")


def test_frames_of_freesurfer_are_channels(tmp_path, read):
    stored = np.stack([STORED, STORED + 1], axis=-1)
    nib.save(nib.MGHImage(stored, AFFINE), tmp_path / "scan.mgz")
    np.testing.assert_array_equal(read(tmp_path / "scan.mgz", channel=1).image.stored, STORED + 1)


@pytest.mark.parametrize("pitch", [0.0, np.nan])
def test_a_freesurfer_header_without_spacing_is_refused(tmp_path, read, pitch):
    content = bytearray(nib.MGHImage(STORED, AFFINE).to_bytes())
    struct.pack_into(">3f", content, 30, pitch, 1, 1)  # delta
    (tmp_path / "scan.mgh").write_bytes(content)
    with pytest.raises(BadCase, match="an affine that maps voxels to positions in mm"):
        read(tmp_path / "scan.mgh")


def test_a_name_of_another_encoding_is_read_by_itk(tmp_path, read):
    path = itk_file(tmp_path / "plain.nrrd")
    odd = tmp_path / "caf\udce9.nrrd"
    shutil.move(path, odd)
    np.testing.assert_array_equal(read(odd).image.stored, STORED)
