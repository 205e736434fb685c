"""A label map as a DICOM segmentation of a derived series."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from slicefill import __version__
from slicefill.ingestion.checks import BadCase
from slicefill.io.dicom_series import read_in_order
from slicefill.io.storage import replace_file
from slicefill.types import Array, Volume

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

_REQUIRED = (  # may be empty, but must be there
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime",
)  # fmt: skip


def write_seg(
    label: Volume, series: Sequence[Path], path: Path, names: Mapping[int, str] | None = None
) -> None:
    """Write a label map as one DICOM SEG object, a binary segment for every label.

    Segments are numbered 1, 2, … in the order of the label ids, as the standard demands; each says
    its id in SegmentDescription. They are called AUTOMATIC, tissue, and refer to the series, slice
    by slice. What the series does not say of the patient stays empty.

    Args:
        label: On the grid of the series, `(columns, rows, slices)`; ids are whole numbers, 0 is
            background.
        series: The files that `write_series` wrote, in any order.
        path: The file; replaced if there is one.
        names: SegmentLabel by id; others are called `label 7`. Ids with a name become segments
            even if the label map lacks them, so that the segments of several scans agree.

    Raises:
        BadCase: If the label map is on another grid, or there is nothing to describe.
        ImportError: If highdicom is not installed.
    """
    try:
        from highdicom.seg import Segmentation
    except ImportError as error:
        msg = "DICOM SEG needs highdicom: pip install 'slicefill[dicom]'"
        raise ImportError(msg) from error
    slices = [_with_required(each) for each in read_in_order(series, stop_before_pixels=True)]
    _check_grid(label, slices, path)
    ids = _ids(label.stored, names or {}, path)
    segmentation = Segmentation(
        source_images=slices,
        pixel_array=_frames(label.stored, ids),
        segmentation_type="BINARY",
        segment_descriptions=_describe(ids, names or {}),
        series_instance_uid=generate_uid(),
        series_number=int(slices[0].get("SeriesNumber") or 0) + 1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Slicefill",
        manufacturer_model_name="Slicefill",
        software_versions=__version__,
        device_serial_number="none",
        series_description="labels",
    )
    content = BytesIO()
    segmentation.save_as(content)
    replace_file(path, content.getvalue())


def _with_required(slice_: Dataset) -> Dataset:
    for keyword in _REQUIRED:
        if keyword not in slice_:
            setattr(slice_, keyword, None)
    return slice_


def _check_grid(label: Volume, slices: Sequence[Dataset], path: Path) -> None:
    expected = (int(slices[0].Columns), int(slices[0].Rows), len(slices))
    if label.stored.shape != expected:
        raise BadCase(
            expected=f"a label map of shape {expected}, as the series",
            found=f"{label.stored.shape}",
            remedy="give the label map that was imputed, and the series derived with it",
            file=path,
        )


def _ids(stored: Array, names: Mapping[int, str], path: Path) -> NDArray[np.int64]:
    """List the ids that become segments, rising."""
    ids = {*np.unique(stored).tolist(), *names} - {0}
    if not ids:
        raise BadCase(
            expected="a label map with labels",
            found="background only",
            remedy="name the labels that could be there, or write no segmentation",
            file=path,
        )
    return np.array(sorted(ids), dtype=np.int64)


def _frames(stored: Array, ids: NDArray[np.int64]) -> Array:
    """Number the labels 1, 2, …; `(slices, rows, columns)`, as DICOM has frames."""
    numbered = np.searchsorted(ids, stored.T) + 1
    numbered[stored.T == 0] = 0
    return numbered.astype(np.uint16)


def _describe(ids: NDArray[np.int64], names: Mapping[int, str]) -> list["SegmentDescription"]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

    kinds: Any = codes
    algorithm = AlgorithmIdentificationSequence(
        name="Slicefill", family=kinds.DCM.ArtificialIntelligence, version=__version__
    )
    described = []
    for number, label_id in enumerate(ids.tolist(), start=1):
        segment = SegmentDescription(
            segment_number=number,
            segment_label=names.get(label_id, f"label {label_id}"),
            segmented_property_category=kinds.SCT.Tissue,
            segmented_property_type=kinds.SCT.Tissue,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        segment.SegmentDescription = f"label {label_id}"
        described.append(segment)
    return described
