from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from slicefill.ingestion.layouts import RawCase
from slicefill.ingestion.reading import read_raw_case
from slicefill.params import IngestionParams
from slicefill.types import Case

SUBSAMPLED = np.diag([1.0, 1.0, 4.0, 1.0])


@pytest.fixture(scope="session")
def params() -> Callable[..., IngestionParams]:
    """Parameters of a lenient ingestion; `labels` and `split` are merged, the rest replaced."""

    def make(**changes: Any) -> IngestionParams:
        values: dict[str, Any] = {
            "layout": "folder",
            "bids_suffix": "T2w",
            "channel": None,
            "subject_pattern": "(.+)",
            "views_pattern": None,
            "cases_per_subject": 1,
            "through_plane": "auto",
            "affine_tolerance": 0.01,
            "step_tolerance": 0.01,
            "not_finite": "refuse",
            "labels": {
                "need": "optional",
                "names": {0: "background", 1: "one", 2: "two"},
                "groups": None,
                "unlisted": "refuse",
                "sparse": "refuse",
            },
            "strict": False,
            "limit": None,
            "split": {
                "file": None,
                "train": 0.6,
                "validation": 0.2,
                "test": 0.2,
                "folds": 5,
                "stratify": True,
                "seed": 0,
            },
        }
        for name, value in changes.items():
            values[name] = {**values[name], **value} if name in ("labels", "split") else value
        return IngestionParams(**values)

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a NIfTI file with stored numbers, affine and codes as given."""

    def write_file(
        name: str = "scan.nii.gz",
        stored: np.ndarray | None = None,
        affine: np.ndarray = SUBSAMPLED,
        codes: tuple[int, int] = (1, 1),
    ) -> Path:
        if stored is None:
            stored = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
        image = nib.Nifti1Image(stored, affine, dtype=stored.dtype)
        image.set_sform(affine, codes[0])
        image.set_qform(affine, codes[1])
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, path)
        return path

    return write_file


@pytest.fixture
def read(params: Callable[..., IngestionParams]) -> Callable[..., Case]:
    """Read an image, and perhaps a label, as the case `c1`."""

    def read_files(image: Path, label: Path | None = None, **changes: Any) -> Case:
        return read_raw_case(RawCase("c1", image, label), params(**changes))

    return read_files


# --- DICOM: patient position and step in mm, a turned patient --------------------------------

SERIES = generate_uid()
TURN = np.array(SimpleITK.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5).GetMatrix()).reshape(3, 3)
FIRST = np.array([10.0, -20.0, 30.0])
STEP = 4.0


def _slice(
    index: int,
    direction: np.ndarray = TURN,
    step: tuple[float, ...] | None = None,
    series: str = "",
) -> pydicom.Dataset:
    """Slice `index` of a series: 5 rows x 6 columns of 0.7 (rows) x 0.5 (columns) mm."""
    each = pydicom.Dataset()
    each.SOPClassUID, each.SOPInstanceUID = CTImageStorage, generate_uid()
    each.StudyInstanceUID = SERIES
    each.SeriesInstanceUID = generate_uid(entropy_srcs=[series]) if series else SERIES
    each.Modality, each.PatientName, each.InstanceNumber = "CT", "Doe^Jane", 99 - index
    each.Rows, each.Columns, each.PixelSpacing = 5, 6, [0.7, 0.5]
    each.ImageOrientationPatient = direction[:, :2].T.ravel().round(9).tolist()
    position = FIRST + index * (STEP * direction[:, 2] if step is None else np.asarray(step))
    each.ImagePositionPatient = position.round(9).tolist()
    each.SliceThickness, each.SpacingBetweenSlices = 5, 3.3  # not the distance of the positions
    each.RescaleSlope, each.RescaleIntercept = 2, -1024
    each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
    each.BitsAllocated, each.BitsStored, each.HighBit, each.PixelRepresentation = 16, 16, 15, 1
    each.PixelData = (np.arange(30, dtype="<i2") + 100 * index).tobytes()
    return each


def _write_series(folder: Path, slices: list[pydicom.Dataset]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in zip(np.random.default_rng(0).permutation(len(slices)), slices, strict=True):
        each.file_meta = pydicom.dataset.FileMetaDataset()
        each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        each.save_as(folder / f"{name:02d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="session")
def slice_of() -> Callable[..., pydicom.Dataset]:
    return _slice


@pytest.fixture(scope="session")
def write_series() -> Callable[..., Path]:
    return _write_series
