"""The manifest, which is a table of the good cases, and the report on the others."""

import json
import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from slicefill.geometry import anisotropy, through_plane_axis
from slicefill.ingestion.checks import ONE_SLICE, BadCase, OneSlice, about
from slicefill.ingestion.companions import source_files
from slicefill.ingestion.discovery import find_cases
from slicefill.ingestion.found import LeftAside, RawCase, group_left_aside, relative
from slicefill.ingestion.integrity import checksum
from slicefill.ingestion.reading import read_raw_case
from slicefill.ingestion.subjects import subject_of, views_of, warn_of_divided_views
from slicefill.ingestion.voxels import check_varies
from slicefill.params import IngestionParams
from slicefill.types import Volume

logger = logging.getLogger(__name__)
# fmt: off
MANIFEST_COLUMNS = [
    "case", "subject", "views", "image", "label",
    "shape", "spacing", "orientation", "through_plane", "anisotropy", "dtype",
    "p01", "p50", "p99", "labels", "image_sha256", "label_sha256",
]
# fmt: on
REPORT_COLUMNS = ["case", "file", "expected", "found", "remedy", "outcome", "files"]
REFUSED, LEFT_ASIDE = "refused", "left aside"


def check_cases(folder: Path, params: IngestionParams) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and check the cases of a raw folder, one in memory at a time.

    With `params.limit`, that many of them, drawn by the seed of the split; the others are not
    read at all.

    Returns:
        The manifest, one row per good case (`MANIFEST_COLUMNS`; spacing in mm, percentiles
        in intensities, label volumes in ml, paths relative to `folder`), and the report
        (`REPORT_COLUMNS`): one row per refused case, and one per reason for which files were left
        aside (`outcome`), which are no failures.

    Raises:
        BadCase: The first one, if `params.strict`.
        FileNotFoundError: If there is no case at all.
    """
    found = find_cases(folder, params)
    if params.strict and found.refused:
        raise found.refused[0]
    drawn = _draw(found.cases, params)
    rows, faults, flat = _sort(drawn, folder, params)
    faults += [_fault(error, folder) for error in found.refused]
    faults.sort(key=lambda fault: fault["case"])
    left = found.left_aside + flat
    aside = group_left_aside(left, folder)
    _tell(aside, folder, {
        "cases": len(rows), REFUSED: len(faults), LEFT_ASIDE: len(left),
        "not drawn": len(found.cases) - len(drawn),
    })  # fmt: skip
    warn_of_divided_views(rows)
    report = [*faults, *(_left_aside(*each) for each in aside)]
    return (
        pd.DataFrame(rows, columns=MANIFEST_COLUMNS),
        pd.DataFrame(report, columns=REPORT_COLUMNS),
    )


def _sort(
    cases: list[RawCase], folder: Path, params: IngestionParams
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[LeftAside]]:
    """Read cases; rows of good ones, faults, and those of one slice, left aside beside others."""
    rows, faults, flat = [], [], []
    for raw in tqdm(cases, desc="checking", unit="case"):
        try:
            rows.append(_row(raw, folder, params))
        except BadCase as error:
            if params.strict and not isinstance(error, OneSlice):
                raise
            # The error itself would keep the volumes in its traceback in memory.
            fault = _fault(error, folder)
            if isinstance(error, OneSlice):
                flat.append((LeftAside(raw.place, ONE_SLICE), fault))
            else:
                faults.append(fault)
        except Exception as error:  # one bad case must not stop the others
            if params.strict:
                raise
            faults.append(_fault(_unforeseen(raw, error), folder))
    if not rows:
        faults += [fault for _, fault in flat]
    return rows, faults, [aside for aside, _ in flat] if rows else []


def _tell(aside: list[tuple[str, str, int]], folder: Path, counts: dict[str, int]) -> None:
    """Log why files were left aside, and how many files and cases became what."""
    for names, reason, _ in aside:
        logger.info("left aside: %s: %s", names, reason)
    parts = [f"{count} {what}" for what, count in counts.items() if count or what == "cases"]
    logger.info("%s: found %d = %s", folder, sum(counts.values()), " + ".join(parts))


def _draw(cases: list[RawCase], params: IngestionParams) -> list[RawCase]:
    """Draw at most `limit` cases; which ones depends on the ids and the seed alone."""
    if params.limit is None:
        return cases
    order = np.random.default_rng(params.split.seed).permutation(len(cases))
    return [cases[i] for i in sorted(order[: params.limit])]


def _row(raw: RawCase, folder: Path, params: IngestionParams) -> dict[str, Any]:
    with about(raw.id, raw.place):
        subject, views = subject_of(raw.id, params), views_of(raw, params)
    case = read_raw_case(raw, params)
    with about(raw.id, raw.place):
        check_varies(case.image)
    label = raw.label if case.label is not None else None
    return {
        "case": raw.id,
        "subject": subject,
        "views": views,
        "image": relative(raw.place, folder),
        "label": relative(label, folder) if label else "",
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


def _unforeseen(raw: RawCase, error: Exception) -> BadCase:
    return BadCase(
        expected="a case that can be read and checked",
        found=f"{type(error).__name__}: {error}",
        remedy="export it again or leave it out; ingestion.strict=true shows where this arose",
        case=raw.id,
        file=raw.place,
    )


def _fault(error: BadCase, folder: Path) -> dict[str, Any]:
    return {
        "case": error.case,
        "file": relative(error.file, folder) if error.file else "",
        "expected": error.expected,
        "found": error.found,
        "remedy": error.remedy,
        "outcome": REFUSED,
        "files": 1,
    }


def _left_aside(names: str, reason: str, files: int) -> dict[str, Any]:
    return {
        "case": "",
        "file": names,
        "expected": "",
        "found": reason,
        "remedy": "",
        "outcome": LEFT_ASIDE,
        "files": files,
    }
