"""NIfTI-1 and -2, single files and .hdr/.img pairs, as stored."""

from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder

from slicefill.geometry import placing_error
from slicefill.ingestion import checks
from slicefill.ingestion.checks import BadCase, reading
from slicefill.ingestion.companions import check_there, voxels_of_pair
from slicefill.ingestion.integrity import check_length, uncompressed_length
from slicefill.ingestion.sniffing import open_plain
from slicefill.ingestion.suffixes import suffix_of
from slicefill.ingestion.voxels import check_voxel_type
from slicefill.types import Array, Volume

_EXACT = 1e-3  # of a voxel; a qform nearer than this to the affine stands for it


def read_nifti(path: Path) -> Volume:
    """Read the stored numbers (dtype and byte order of the file) and the header.

    Slope and intercept are set in the header, where nibabel leaves them undefined. A header
    with neither sform nor qform gets nibabel's base affine as sform, because other readers
    would place such a volume elsewhere.

    Raises:
        BadCase: If the file is damaged or its header describes no volume.
    """
    voxels = path
    if suffix_of(path) == ".hdr":
        voxels = voxels_of_pair(path)
        check_there(path, voxels)
    with reading("NIfTI file"):
        length = uncompressed_length(voxels)
        raw = _read_header(path)
        image, stored = _read_voxels(raw, path, voxels, length)
        header = _single_file_header(image.header)
        header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
        if not (header["sform_code"] or header["qform_code"]):
            header.set_sform(header.get_base_affine(), code="aligned")
        return Volume(stored, header)


def read_outline(path: Path) -> Volume:
    """Read a header alone: the grid of the first three axes, with zeros that take no memory.

    Raises:
        BadCase: If the header describes no volume.
        ValueError: If there is none.
    """
    header = _single_file_header(_read_header(path))
    return Volume(np.broadcast_to(np.uint8(0), header.get_data_shape()[:3]), header)


def new_volume(
    stored: Array, affine: Array, slope_intercept: tuple[float, float] = (1.0, 0.0)
) -> Volume:
    """Make a volume of stored numbers that come without a NIfTI header.

    Args:
        stored: Stored numbers, `(I, J, K)` or `(I, J, K, C)`.
        affine: Voxel to world, `(4, 4)`, mm, RAS+.
        slope_intercept: From stored numbers to intensities.

    Raises:
        BadCase: If the affine does not span space.
    """
    checks.check_affine(affine)
    header = nib.Nifti1Header()
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_xyzt_units("mm")
    header.set_slope_inter(*slope_intercept)
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    exact = _EXACT * nib.affines.voxel_sizes(affine).min() + placing_error(affine, stored.shape)
    if checks.corner_distance(affine, header.get_qform(), stored.shape) > exact:
        header["qform_code"] = 0  # a tilted gantry shears the grid; a qform cannot say so
    return Volume(stored, header)


def _read_header(path: Path) -> Any:
    """Read the header as it is in the file; nibabel repairs pixdim in silence when it loads."""
    with open_plain(path) as stream:
        begin = stream.read(nib.Nifti2Header.sizeof_hdr)
    kinds = (nib.Nifti2Pair, nib.Nifti1Pair, nib.Nifti1Image)
    if not any(kind.header_class.may_contain_header(begin) for kind in kinds):
        if nib.AnalyzeHeader.may_contain_header(begin):
            _refuse_analyze()
        msg = "its first bytes are no header of NIfTI"
        raise ValueError(msg)
    is_nifti2 = nib.Nifti2Header.may_contain_header(begin)
    kind: Any = nib.Nifti2Header if is_nifti2 else nib.Nifti1Header
    if suffix_of(path) == ".hdr":
        kind = nib.nifti2.Nifti2PairHeader if is_nifti2 else nib.nifti1.Nifti1PairHeader
    raw = kind.from_fileobj(BytesIO(begin), check=False)
    check_voxel_type(raw.get_data_dtype())
    checks.check_shape(raw.get_data_shape())
    checks.check_header(raw)
    return raw


def _read_voxels(raw: Any, path: Path, voxels: Path, length: int) -> tuple[Any, Array]:
    """Load the image and its stored numbers; a name or suffix steers nothing here."""
    is_nifti2 = isinstance(raw, nib.Nifti2Header)
    if path == voxels:
        kind: Any = nib.Nifti2Image if is_nifti2 else nib.Nifti1Image
    else:
        kind = nib.Nifti2Pair if is_nifti2 else nib.Nifti1Pair
    with open_plain(path) as first, open_plain(voxels) as second:
        holders = {
            "header": FileHolder(str(path), first),
            "image": FileHolder(str(voxels), second if path != voxels else first),
        }
        image = kind.from_file_map(holders)
        needed = image.dataobj.offset + image.dataobj.dtype.itemsize * int(np.prod(image.shape))
        check_length(length, needed)
        return image, np.asarray(image.dataobj.get_unscaled())


def _single_file_header(header: nib.Nifti1Header) -> nib.Nifti1Header:
    kind: Any = nib.Nifti2Header if isinstance(header, nib.Nifti2Header) else nib.Nifti1Header
    single: nib.Nifti1Header = header.copy()
    if not header.is_single:
        single = kind(header.binaryblock, header.endianness, check=False)
    single["magic"] = kind.single_magic
    single["vox_offset"] = 0
    return single


def _refuse_analyze() -> None:
    raise BadCase(
        expected="a NIfTI header",
        found="ANALYZE 7.5, a format that does not say which side is left",
        remedy="convert it to NIfTI with the tool that wrote it",
    )
