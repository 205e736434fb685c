"""One DICOM series, a folder of single-frame files, as one volume."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.misc import is_dicom

from slicefill.ingestion import checks
from slicefill.ingestion.checks import BadCase, reading
from slicefill.ingestion.itk import LPS_TO_RAS
from slicefill.ingestion.nifti import new_header
from slicefill.params import IngestionParams
from slicefill.types import Array, Volume

_IDENTICAL = ("SeriesInstanceUID", "Rows", "Columns", "BitsAllocated", "PixelRepresentation")
_NUMBERS = {  # keyword: (value when absent, largest difference between slices)
    "ImageOrientationPatient": (None, 1e-3),
    "PixelSpacing": (None, 1e-4),
    "RescaleSlope": (1, 0),
    "RescaleIntercept": (0, 0),
}


def dicom_files(folder: Path) -> list[Path]:
    """List the DICOM files right inside a folder, by name; not its directory file."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name.upper() != "DICOMDIR" and is_dicom(path)
    )


def read_series(folder: Path, params: IngestionParams) -> Volume:
    """Read a series; slices in the order of their positions, whatever the files are called.

    The slice step comes from ImagePositionPatient (C.7.6.2.1.1): SliceThickness and
    SpacingBetweenSlices say something else in many files. Only voxels, geometry and the
    rescale slope and intercept are taken over; nothing that identifies the patient is.

    Raises:
        BadCase: If the folder is not one evenly spaced series of slices of one size.
    """
    with reading("DICOM series with position and orientation of every slice"):
        slices = [pydicom.dcmread(path) for path in dicom_files(folder)]
        _check_frames(slices)
        _check_one_series(slices)
        first = slices[0]
        positions = np.array([each.ImagePositionPatient for each in slices], dtype=float)
        axes = np.reshape(np.asarray(first.ImageOrientationPatient, dtype=float), (2, 3))
        order = np.argsort(positions @ np.cross(*axes), kind="stable")
        step = _step(positions[order], np.cross(*axes), params)
        affine = np.eye(4)
        affine[:3, 0] = axes[0] * float(first.PixelSpacing[1])  # [1]: between columns
        affine[:3, 1] = axes[1] * float(first.PixelSpacing[0])
        affine[:3, 2] = step
        affine[:3, 3] = positions[order[0]]
        checks.check_affine(affine)
        stored = np.stack([slices[index].pixel_array.T for index in order], axis=-1)
        rescale = float(first.get("RescaleSlope", 1)), float(first.get("RescaleIntercept", 0))
        return Volume(stored, new_header(stored, LPS_TO_RAS @ affine, rescale))


def _check_frames(slices: Sequence[pydicom.Dataset]) -> None:
    if len(slices) < 2:
        raise BadCase(
            expected="2 slices or more", found=f"{len(slices)}", remedy="leave the case out"
        )
    if any(int(each.get("NumberOfFrames", 1)) > 1 for each in slices):
        raise BadCase(
            expected="one slice per file", found="multi-frame files", remedy="convert with dcm2niix"
        )
    if any(int(each.get("SamplesPerPixel", 1)) > 1 for each in slices):
        raise BadCase(
            expected="one number per voxel", found="colour (RGB)", remedy="export grey values"
        )


def _check_one_series(slices: Sequence[pydicom.Dataset]) -> None:
    for keyword in _IDENTICAL:
        count = len({str(each.get(keyword)) for each in slices})
        if count > 1:
            _refuse_mixture(keyword, f"{count} different ones")
    for keyword, (absent, tolerance) in _NUMBERS.items():
        values = np.array([np.ravel(each.get(keyword, absent)) for each in slices], dtype=float)
        spread = np.ptp(values, axis=0).max()
        if spread > tolerance:
            _refuse_mixture(keyword, f"values up to {spread:g} apart")


def _refuse_mixture(keyword: str, found: str) -> None:
    raise BadCase(
        expected=f"one series in the folder, {keyword} the same in every slice",
        found=found,
        remedy="put every series into a folder of its own; convert others with dcm2niix",
    )


def _step(
    positions: NDArray[np.float64], normal: Array, params: IngestionParams
) -> NDArray[np.float64]:
    """Vector from one slice to the next, `(3,)`, mm; positions `(K, 3)` in slice order."""
    steps = np.diff(positions @ normal)
    typical = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - typical)))
    if steps.min() <= 0 or abs(steps[worst] - typical) > params.step_tolerance * typical:
        raise BadCase(
            expected=f"slices {typical:.4g} mm apart, within {params.step_tolerance:.2%}",
            found=f"steps from {steps.min():.4g} to {steps.max():.4g} mm, the oddest after "
            f"slice {worst + 1} of {len(positions)}",
            remedy="add the missing slices or remove those that lie at one position",
        )
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + step * np.arange(len(positions))[:, None]
    sideways = float(np.linalg.norm(positions - line, axis=1).max())
    if sideways > params.step_tolerance * typical + params.affine_tolerance:
        raise BadCase(
            expected="slices on a straight line",
            found=f"one {sideways:.3g} mm off it",
            remedy="put every series into a folder of its own, or resample the scan",
        )
    return step
