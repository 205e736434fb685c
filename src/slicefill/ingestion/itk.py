"""NRRD, MetaImage (MHA, MHD) and GIPL through SimpleITK."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from slicefill.ingestion import checks
from slicefill.ingestion.checks import BadCase, reading
from slicefill.ingestion.companions import data_files, read_fields
from slicefill.ingestion.integrity import check_length, count_voxel_data
from slicefill.ingestion.nifti import new_volume
from slicefill.ingestion.sniffing import is_compressed, open_plain, read_chunks
from slicefill.ingestion.suffixes import suffix_of
from slicefill.ingestion.voxels import check_voxel_type
from slicefill.types import Array, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TIME = 3
"""The axis of time points, of images that are no vectors."""
_GIPL_HEADER = 256  # bytes
_MILLIMETRES = ("mm", "millimeter", "millimetre", "millimeters", "", "none", "???")
_READERS = {
    ".n": "NrrdImageIO",
    ".m": "MetaImageIO",
    ".g": "GiplImageIO",
}
"""ITK's readers by how a suffix begins; named, because ITK chooses by the case of the suffix."""


def read_itk(path: Path) -> Volume:
    """Read a volume; its geometry goes from ITK's LPS to the RAS of a NIfTI header.

    Raises:
        BadCase: If the file is damaged or holds no volume.
    """
    suffix = suffix_of(path)
    reader = next(name for end, name in _READERS.items() if suffix.startswith(end))
    with reading(f"{suffix} file"), _plain(path, suffix) as plain:
        if reader != "GiplImageIO":
            _check_voxels(plain, reader)
        image = SimpleITK.ReadImage(str(plain), imageIO=reader)
        if reader == "GiplImageIO":
            voxels = SimpleITK.GetArrayViewFromImage(image).nbytes
            check_length(plain.stat().st_size, _GIPL_HEADER + voxels)
    return volume_of(image)


def volume_of(image: Any) -> Volume:
    """Wrap an image; its geometry goes from ITK's LPS to RAS.

    A fourth axis is time, whose spacing is kept: in seconds, as ITK has it where it writes NIfTI.

    Raises:
        BadCase: If it is no volume of real numbers.
    """
    stored = _channels_last(image)
    check_voxel_type(stored.dtype)
    checks.check_shape(stored.shape)
    volume = new_volume(stored, _affine_of(image))
    if image.GetDimension() > TIME:
        volume.header.set_xyzt_units("mm", "sec")
        volume.header["pixdim"][1 + TIME] = image.GetSpacing()[TIME]
        volume.header["toffset"] = image.GetOrigin()[TIME]
    return volume


def _check_voxels(path: Path, reader: str) -> None:
    """Refuse a file with fewer voxels than its header says."""
    counted = count_voxel_data(path)
    header = SimpleITK.ImageFileReader()
    header.SetImageIO(reader)
    header.SetFileName(str(path))
    header.ReadImageInformation()
    _check_lengths(path)
    if counted is None:
        return
    one = SimpleITK.Image([1, 1, 1], header.GetPixelID(), header.GetNumberOfComponents())
    voxels = int(np.prod(header.GetSize())) * header.GetNumberOfComponents()
    files = ", ".join(file.name for file in data_files(path)[:3])
    available, unit = counted
    of = f"{unit} of voxels{f' in {files}' if files else ''}"
    size = one.GetSizeOfPixelComponent() if unit == "bytes" else 1
    check_length(available, voxels * size, of)


def _check_lengths(path: Path) -> None:
    """Refuse an NRRD whose lengths are unknown or in another unit; ITK takes them for mm."""
    with path.open("rb") as stream:
        fields = read_fields(stream, suffix_of(path))
    units = re.findall(r'"([^"]*)"', fields.get("space units", ""))
    other = [unit for unit in units if unit.lower() not in _MILLIMETRES]
    if other:
        raise BadCase(
            expected="a header in mm",
            found=f"space units of {other[0]}",
            remedy="convert space directions, space origin and space units to mm",
        )
    spacings = fields.get("spacings", "").split()[-3:]  # of channels, which come first, it is NaN
    if "nan" in [spacing.lower() for spacing in spacings]:
        raise BadCase(
            expected="a header with the spacing of every axis",
            found=f"spacings {' '.join(spacings)}",
            remedy="write the distances of pixels and slices, in mm, into its line `spacings`",
        )


@contextmanager
def _plain(path: Path, suffix: str) -> Iterator[Path]:
    """Yield a decompressed copy of a file that is compressed as a whole: ITK goes by the suffix."""
    if not is_compressed(path):
        yield path
        return
    with TemporaryDirectory(prefix="slicefill-itk-") as folder:
        plain = Path(folder, f"plain{suffix.removesuffix('.gz')}")
        with open_plain(path) as stream, plain.open("wb") as copy:
            copy.writelines(read_chunks(stream))
        yield plain


def _channels_last(image: Any) -> Array:
    """Voxels as `(I, J, K)` or `(I, J, K, C)`; ITK hands out `(K, J, I)` or `(K, J, I, C)`."""
    array = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    return array.T


def _affine_of(image: Any) -> NDArray[np.float64]:
    """Voxel to world of an image, `(4, 4)`, mm; from ITK's LPS to RAS."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine
