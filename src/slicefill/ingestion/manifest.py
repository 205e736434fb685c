"""The manifest, which is a table of the good cases, and the report on the others."""

import json
import math
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from slicefill.geometry import anisotropy, through_plane_axis
from slicefill.ingestion.checks import BadCase, about
from slicefill.ingestion.integrity import checksum
from slicefill.ingestion.layouts import RawCase, find_cases
from slicefill.ingestion.reading import read_raw_case, source_files
from slicefill.params import IngestionParams
from slicefill.types import Volume

# fmt: off
MANIFEST_COLUMNS = [
    "case", "subject", "image", "label",
    "shape", "spacing", "orientation", "through_plane", "anisotropy", "dtype",
    "p01", "p50", "p99", "labels", "image_sha256", "label_sha256",
]
# fmt: on
REPORT_COLUMNS = ["case", "file", "expected", "found", "remedy"]


def check_cases(folder: Path, params: IngestionParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and check the cases of a raw folder, one in memory at a time.

    With `params.limit`, that many of them, drawn by the seed of the split; the others are not
    read at all.

    Returns:
        The manifest, one row per good case (`MANIFEST_COLUMNS`; spacing in mm, percentiles
        in intensities, label volumes in ml, paths relative to `folder`), and the report, one
        row per bad case (`REPORT_COLUMNS`).

    Raises:
        BadCase: The first one, if `params.strict`.
        FileNotFoundError: If there is no case at all.
    """
    cases, unpaired = find_cases(folder, params)
    if params.strict and unpaired:
        raise unpaired[0]
    rows, faults = [], [_fault(error, folder) for error in unpaired]
    for raw in tqdm(_draw(cases, params), desc="checking", unit="case"):
        try:
            rows.append(_row(raw, folder, params))
        except BadCase as error:
            if params.strict:
                raise
            # The error itself would keep the volumes in its traceback in memory.
            faults.append(_fault(error, folder))
    report = pd.DataFrame(faults, columns=REPORT_COLUMNS).sort_values("case", ignore_index=True)
    return pd.DataFrame(rows, columns=MANIFEST_COLUMNS), report


def subject_of(case: str, params: IngestionParams) -> str:
    """Return the subject of a case: the group of `subject_pattern`, perhaps as a number.

    Raises:
        BadCase: If the id does not match, or its group is no number where one is needed.
        ValueError: If the pattern has not exactly one group.
    """
    pattern = re.compile(params.subject_pattern)
    if pattern.groups != 1:
        msg = f"subject_pattern must have one group, got {params.subject_pattern!r}"
        raise ValueError(msg)
    match = pattern.search(case)
    subject = (match.group(1) or "") if match else ""
    number = params.cases_per_subject > 1
    if not subject or (number and not subject.isdecimal()):
        raise BadCase(
            expected=f"an id with {'a number' if number else 'a subject'} in it, as in "
            f"subject_pattern {params.subject_pattern!r}",
            found=case,
            remedy="correct subject_pattern or rename the file",
        )
    return str(math.ceil(int(subject) / params.cases_per_subject)) if number else subject


def _draw(cases: list[RawCase], params: IngestionParams) -> list[RawCase]:
    """Draw at most `limit` cases; which ones depends on the ids and the seed alone."""
    if params.limit is None:
        return cases
    order = np.random.default_rng(params.split.seed).permutation(len(cases))
    return [cases[i] for i in sorted(order[: params.limit])]


def _row(raw: RawCase, folder: Path, params: IngestionParams) -> dict[str, Any]:
    with about(raw.id, raw.image):
        subject = subject_of(raw.id, params)
    case = read_raw_case(raw, params)
    label = raw.label if case.label is not None else None
    return {
        "case": raw.id,
        "subject": subject,
        "image": _relative(raw.image, folder),
        "label": _relative(label, folder),
        **_geometry(case.image, params),
        **_percentiles(case.image),
        "labels": json.dumps(_label_volumes(case.label, params.labels.names)),
        "image_sha256": checksum(source_files(raw.image)),
        "label_sha256": checksum(source_files(label)) if label else "",
    }


def _geometry(image: Volume, params: IngestionParams) -> dict[str, Any]:
    axis = through_plane_axis(image.affine, params.through_plane)
    return {
        "shape": "x".join(map(str, image.stored.shape)),
        "spacing": "x".join(f"{pitch:.3f}" for pitch in image.spacing),
        "orientation": "".join(nib.aff2axcodes(image.affine)),
        "through_plane": axis,
        "anisotropy": round(anisotropy(image.spacing, axis), 4),
        "dtype": str(image.stored.dtype),
    }


def _percentiles(image: Volume) -> dict[str, float]:
    values = np.percentile(image.intensities(), [1, 50, 99])
    return dict(zip(("p01", "p50", "p99"), map(float, values), strict=True))


def _label_volumes(label: Volume | None, names: dict[int, str]) -> dict[str, float]:
    """Volume per label name, ml; labels that do not occur have 0."""
    if label is None:
        return {}
    voxel = abs(np.linalg.det(label.affine[:3, :3])) / 1000
    return {
        name: float(f"{np.count_nonzero(label.stored == number) * voxel:.6g}")
        for number, name in names.items()
        if number != 0
    }


def _relative(path: Path | None, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path else ""


def _fault(error: BadCase, folder: Path) -> dict[str, str]:
    return {
        "case": error.case,
        "file": _relative(error.file, folder),
        "expected": error.expected,
        "found": error.found,
        "remedy": error.remedy,
    }
