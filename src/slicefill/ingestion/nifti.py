"""NIfTI-1 and -2, single files and .hdr/.img pairs, as stored."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.ingestion import checks
from slicefill.ingestion.checks import BadCase, reading
from slicefill.ingestion.integrity import check_length, uncompressed_length
from slicefill.types import Array, Volume

_EXACT = 1e-3  # mm; a qform nearer than this to the affine stands for it


def read_nifti(path: Path) -> Volume:
    """Read the stored numbers (dtype and byte order of the file) and the header.

    Slope and intercept are set in the header, where nibabel leaves them undefined. A header
    with neither sform nor qform gets nibabel's base affine as sform, because other readers
    would place such a volume elsewhere.

    Raises:
        BadCase: If the file is damaged or its header describes no volume.
    """
    with reading("NIfTI file"):
        length = uncompressed_length(path.with_suffix(".img") if path.suffix == ".hdr" else path)
        image: Any = nib.load(path)
        if not isinstance(image, nib.Nifti1Pair):
            _refuse_analyze(image)
        _check_header(image)
        needed = image.dataobj.offset + image.dataobj.dtype.itemsize * int(np.prod(image.shape))
        check_length(length, needed)
        stored = np.asarray(image.dataobj.get_unscaled())
        header = _single_file_header(image.header)
        header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
        if not (header["sform_code"] or header["qform_code"]):
            header.set_sform(header.get_base_affine(), code="aligned")
        return Volume(stored, header)


def new_header(
    stored: Array, affine: Array, slope_intercept: tuple[float, float] = (1.0, 0.0)
) -> nib.Nifti1Header:
    """Make the header of a volume that comes from another format.

    Args:
        stored: Stored numbers, `(I, J, K)` or `(I, J, K, C)`.
        affine: Voxel to world, `(4, 4)`, mm, RAS+.
        slope_intercept: From stored numbers to intensities.
    """
    header = nib.Nifti1Header()
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_xyzt_units("mm")
    header.set_slope_inter(*slope_intercept)
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner", strip_shears=True)
    if checks.corner_distance(affine, header.get_qform(), stored.shape) > _EXACT:
        header["qform_code"] = 0  # a tilted gantry shears the grid; a qform cannot say so
    return header


def _check_header(image: Any) -> None:
    checks.check_voxel_type(image.get_data_dtype())
    checks.check_shape(image.shape)
    holder = image.file_map.get("header", image.file_map["image"])
    with holder.get_prepare_fileobj("rb") as stream:
        # nibabel repairs pixdim in silence when it loads; this is what the file says.
        raw = type(image.header).from_fileobj(stream, check=False)
    checks.check_spacing(raw["pixdim"][1:4])
    checks.check_unit(raw)


def _single_file_header(header: nib.Nifti1Header) -> nib.Nifti1Header:
    kind: Any = nib.Nifti2Header if isinstance(header, nib.Nifti2Header) else nib.Nifti1Header
    single: nib.Nifti1Header = header.copy()
    if not header.is_single:
        single = kind(header.binaryblock, header.endianness, check=False)
    single["magic"] = kind.single_magic
    single["vox_offset"] = 0
    return single


def _refuse_analyze(image: object) -> None:
    raise BadCase(
        expected="a NIfTI header",
        found=f"{type(image).__name__}, a format that does not say which side is left",
        remedy="convert it to NIfTI with the tool that wrote it",
    )
