import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.companions import source_files
from slicefill.ingestion.itk import read_itk

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def oblique(components=1):
    """A volume of noise, 7x6x5 voxels of 0.5x0.7x4 mm, turned and shifted."""
    shape = (5, 6, 7) if components == 1 else (5, 6, 7, components)
    noise = np.random.default_rng(0).integers(-999, 999, shape).astype(np.int16)
    image = SimpleITK.GetImageFromArray(noise, isVector=components > 1)
    image.SetSpacing((0.5, 0.7, 4.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection(SimpleITK.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5).GetMatrix())
    return image


def write(image, path, compressed=False):
    SimpleITK.WriteImage(image, str(path), compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_every_voxel_keeps_its_number_and_its_place(tmp_path, read, suffix, compressed):
    itk = oblique()
    image = read(write(itk, tmp_path / f"scan.{suffix}", compressed)).image
    assert image.stored.dtype == np.int16
    for index in np.ndindex(image.stored.shape):
        assert image.stored[index] == itk.GetPixel(*index)
        lps = itk.TransformIndexToPhysicalPoint(index)
        ras = (image.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(ras, np.multiply(lps, [-1, -1, 1]), atol=1e-4)


def test_gipl_keeps_numbers_and_spacing(tmp_path, read):
    image = read(write(oblique(), tmp_path / "scan.gipl")).image
    np.testing.assert_array_equal(image.stored.T, SimpleITK.GetArrayFromImage(oblique()))
    np.testing.assert_allclose(image.spacing, [0.5, 0.7, 4.0], rtol=1e-6)


def test_components_are_channels(tmp_path, read):
    path = write(oblique(components=3), tmp_path / "scan.nrrd")
    image = read(path, channel=1).image
    assert image.stored[2, 3, 4] == oblique(components=3)[2, 3, 4][1]
    with pytest.raises(BadCase, match="one channel, found shape 7x6x5x3"):
        read(path)


def test_a_fourth_axis_is_channels(tmp_path, read):
    series = SimpleITK.JoinSeries([oblique(), oblique() + 1])
    image = read(write(series, tmp_path / "scan.mha"), channel="all").image
    np.testing.assert_array_equal(image.stored[..., 1], image.stored[..., 0] + 1)
    lps = oblique().TransformIndexToPhysicalPoint((1, 2, 3))
    ras = (image.affine @ [1, 2, 3, 1])[:3]
    np.testing.assert_allclose(ras, np.multiply(lps, [-1, -1, 1]), atol=1e-4)


def test_a_2d_image_is_refused(tmp_path, read):
    with pytest.raises(BadCase, match="three axes"):
        read(write(oblique()[:, :, 0], tmp_path / "slice.mha"))


@FEW
@given(data=st.data())
@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_a_damaged_compressed_file_is_refused_or_reads_the_same(tmp_path, suffix, data):
    content = bytearray(write(oblique(), tmp_path / f"good.{suffix}", True).read_bytes())
    start = content.index(b"\n\n" if suffix == "nrrd" else b"LOCAL\n")  # the header has no checksum
    where = data.draw(st.integers(start + 6, len(content) - 1))
    if data.draw(st.booleans(), "cut"):
        del content[where:]
    else:
        content[where] ^= data.draw(st.integers(1, 255))
    bad = tmp_path / f"bad.{suffix}"
    bad.write_bytes(bytes(content))
    try:
        stored = read_itk(bad).stored
    except BadCase:
        return
    np.testing.assert_array_equal(stored.T, SimpleITK.GetArrayFromImage(oblique()))


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "gipl"])
def test_a_truncated_file_is_refused(tmp_path, read, suffix):
    path = write(oblique(), tmp_path / f"scan.{suffix}")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadCase, match=r"bytes|readable"):
        read(path)


def test_an_nrrd_without_its_gzip_trailer_is_refused(tmp_path, read):
    path = write(oblique(), tmp_path / "scan.nrrd", compressed=True)
    path.write_bytes(path.read_bytes()[:-4])
    np.testing.assert_array_equal(  # ITK takes it as it is
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))),
        SimpleITK.GetArrayFromImage(oblique()),
    )
    with pytest.raises(BadCase, match="EOFError"):
        read(path)


def test_an_mha_without_its_zlib_checksum_is_refused(tmp_path, read):
    path = write(oblique(), tmp_path / "scan.mha", compressed=True)
    lines = path.read_bytes().split(b"\n", 12)
    content = b"\n".join(line for line in lines if not line.startswith(b"CompressedDataSize"))
    path.write_bytes(content)
    assert read(path).image.stored.shape == (7, 6, 5)
    path.write_bytes(content[:-4])
    with pytest.raises(BadCase, match="ends before its checksum"):
        read(path)


@pytest.mark.parametrize("suffix", ["nhdr", "mhd", "nrrd", "mha"])
def test_voxels_beside_their_header_are_read(tmp_path, read, suffix):
    written = write(oblique(), tmp_path / f"scan.{'nhdr' if suffix[0] == 'n' else 'mhd'}")
    path = written.rename(tmp_path / f"scan.{suffix}")
    np.testing.assert_array_equal(read(path).image.stored.T, SimpleITK.GetArrayFromImage(oblique()))
    (voxels,) = set(tmp_path.iterdir()) - {path}
    assert source_files(path) == [path, voxels]
    voxels.write_bytes(voxels.read_bytes()[:-1])
    with pytest.raises(BadCase, match=r"bytes of voxels in .*truncated"):
        read(path)


def test_damage_in_the_voxels_beside_a_header_is_found(tmp_path, read):
    path = write(oblique(), tmp_path / "scan.nhdr", compressed=True)
    (voxels,) = set(tmp_path.iterdir()) - {path}
    content = bytearray(voxels.read_bytes())
    content[-6] ^= 255  # of the CRC32
    voxels.write_bytes(bytes(content))
    with pytest.raises(BadCase, match="CRC"):
        read(path)


def test_a_header_that_points_out_of_its_folder_is_refused(tmp_path, read):
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nencoding: raw\nendian: little\n"
    (tmp_path / "scan.nrrd").write_text(header + "data file: ../voxels.raw\n\n")
    with pytest.raises(BadCase, match=r"points to '\.\./voxels\.raw'"):
        read(tmp_path / "scan.nrrd")
