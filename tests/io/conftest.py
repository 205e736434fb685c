"""DICOM series as scanners write them, and what they become."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from slicefill import api
from slicefill.io.dicom_series import write_series
from slicefill.types import Case

ROWS, COLUMNS, STEP = 5, 6, 4.0
TURN = np.array(SimpleITK.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5).GetMatrix()).reshape(3, 3)
DIRECTIONS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": TURN,
}


def _slice(index: int, direction: np.ndarray, step: np.ndarray, dtype: str) -> pydicom.Dataset:
    each = pydicom.Dataset()
    each.SpecificCharacterSet = "ISO_IR 100"
    each.SOPClassUID, each.SOPInstanceUID = MRImageStorage, generate_uid()
    each.Modality, each.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "ND"]
    each.PatientID, each.PatientName = "7", "Größe^Jane"
    each.SeriesDescription, each.SeriesNumber = "T2 tra", 5
    each.InstanceNumber, each.SliceLocation = 20 - index, STEP * index
    each.AcquisitionTime, each.RepetitionTime = f"1000{index:02d}", 3000
    each.Rows, each.Columns, each.PixelSpacing = ROWS, COLUMNS, [0.7, 0.5]
    each.ImageOrientationPatient = direction[:, :2].T.ravel().round(9).tolist()
    position = np.array([10.0, -20.0, 30.0]) + index * step
    each.ImagePositionPatient = position.round(9).tolist()
    each.SliceThickness, each.SpacingBetweenSlices = 5, 3.3  # not the distance of the positions
    each.RescaleSlope, each.RescaleIntercept = "2.5", "-1024"
    each.WindowCenter, each.WindowWidth = 40 + index, 400
    each.SamplesPerPixel, each.PhotometricInterpretation = 1, "MONOCHROME2"
    stored = np.random.default_rng(index).integers(*_range(dtype), (ROWS, COLUMNS)).astype(dtype)
    each.BitsAllocated, each.PixelRepresentation = (
        8 * stored.itemsize,
        int(stored.dtype.kind == "i"),
    )
    each.BitsStored, each.HighBit = _BITS[dtype], _BITS[dtype] - 1
    each.SmallestImagePixelValue = int(stored.min()) if stored.min() >= 0 else None
    each.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    each.add_new(0x00090010, "LO", "VENDOR")
    each.add_new(0x00091001, "LO", "Doe, Jane")
    return each


_BITS = {"<u2": 12, "<i2": 16, "u1": 8}


def _range(dtype: str) -> tuple[int, int]:
    bits = _BITS[dtype]
    return (-(1 << bits - 1), 1 << bits - 1) if dtype == "<i2" else (0, 1 << bits)


@dataclass(frozen=True)
class Made:
    """A series, the case in it, that case imputed, and the series derived from it."""

    sources: list[Path]
    case: Case
    imputed: Case
    derived: list[Path]


@pytest.fixture
def series(tmp_path: Path) -> Callable[..., list[Path]]:
    """Write a series of slices in files of mixed-up names."""

    def make(
        count: int = 4,
        direction: str = "oblique",
        dtype: str = "<i2",
        change: Callable[[list[pydicom.Dataset]], Any] = lambda slices: None,
        shear: tuple[float, float, float] = (0, 0, 0),
    ) -> list[Path]:
        turn = DIRECTIONS[direction]
        slices = [_slice(k, turn, STEP * turn[:, 2] + np.array(shear), dtype) for k in range(count)]
        series, study, frame = generate_uid(), generate_uid(), generate_uid()
        for each in slices:
            each.SeriesInstanceUID, each.StudyInstanceUID = series, study
            each.FrameOfReferenceUID = frame
        change(slices)
        folder = tmp_path / "source"
        folder.mkdir()
        names = np.random.default_rng(0).permutation(count)
        for name, each in zip(names, slices, strict=True):
            each.file_meta = FileMetaDataset()
            each.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            each.save_as(folder / f"{name:02d}.dcm", enforce_file_format=True)
        return sorted(folder.iterdir())

    return make


@pytest.fixture
def derive(series: Callable[..., list[Path]], tmp_path: Path) -> Callable[..., Made]:
    """Write a series, impute it and write what is derived from it."""

    def make(method: str = "cubic", imputing: Any = None, **options: Any) -> Made:
        sources = series(**options)
        case = api.read(sources[0].parent)
        imputed = api.impute(case, method=method, **(imputing or {"count": 3}))
        return Made(sources, case, imputed, write_series(imputed, sources, tmp_path / "derived"))

    return make
