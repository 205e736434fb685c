"""DICOM files anywhere below the folder, sorted into series by what they say."""

from pathlib import Path

from slicefill.ingestion.found import Found
from slicefill.ingestion.raw_files import list_files, volumes
from slicefill.params import IngestionParams

EXPECTED = "DICOM series, in files of any name"


def find(folder: Path, params: IngestionParams) -> Found:
    """Take every series of slices."""
    from slicefill.ingestion.dicom_sorting import sort_dicom

    files, _ = list_files(folder)
    scans = set(volumes(files))
    return sort_dicom([path for path in files if path not in scans], folder)
