"""MGH and MGZ, FreeSurfer's volumes, as stored."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.ingestion import checks
from slicefill.ingestion.checks import reading
from slicefill.ingestion.integrity import check_length, uncompressed_length
from slicefill.ingestion.nifti import new_volume
from slicefill.ingestion.sniffing import open_plain
from slicefill.ingestion.voxels import check_voxel_type
from slicefill.types import Volume

_HEADER = 284  # bytes


def read_mgh(path: Path) -> Volume:
    """Read a volume; its affine, mm and RAS, goes into a NIfTI header.

    Raises:
        BadCase: If the file is damaged or its header describes no volume.
    """
    with reading("MGH file"):
        length = uncompressed_length(path)
        with open_plain(path) as stream:
            image: Any = nib.MGHImage.from_stream(stream)
            needed = _HEADER + image.dataobj.dtype.itemsize * int(np.prod(image.shape))
            check_length(length, needed)
            stored = np.asarray(image.dataobj)
    check_voxel_type(stored.dtype)
    checks.check_shape(stored.shape)
    return new_volume(stored, image.affine)
