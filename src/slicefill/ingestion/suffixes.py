"""The formats of volumes by the end of their file names, in any case."""

import unicodedata
from pathlib import Path, PurePath, PurePosixPath

NIFTI = (".nii.gz", ".nii.bz2", ".nii", ".hdr")
MGH = (".mgz", ".mgh")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd", ".gipl.gz", ".gipl")
VOLUMES = (*NIFTI, *MGH, *ITK)
DICOM = (".dcm", ".ima", ".dicom")
"""Usual ends of DICOM files; many have none."""


def suffix_of(path: PurePath) -> str:
    """Return the end of a name that says a volume's format, in lower case; "" if there is none.

    Example:
        >>> suffix_of(PurePath("p1/Scan.v2.NII.GZ"))
        '.nii.gz'
    """
    name = path.name.lower()
    return next((suffix for suffix in VOLUMES if name.endswith(suffix)), "")


def stem_of(path: PurePath) -> str:
    """Return a name without the format's end, composed (NFC): macOS writes it decomposed."""
    name = path.name[: len(path.name) - len(suffix_of(path))]
    return unicodedata.normalize("NFC", name)


def stem_below(path: Path, folder: Path) -> str:
    """Return the path of a volume below a folder, with `/`, without the format's end.

    In an object store, too, where `.` and a name make `./name`.
    """
    return PurePosixPath(path.relative_to(folder).as_posix()).with_name(stem_of(path)).as_posix()


def is_hidden(path: PurePath) -> bool:
    """Whether a name says that a file is not for users: `.DS_Store`, `._scan.nii.gz`."""
    return path.name.startswith(".")
