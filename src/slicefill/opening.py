"""Scans of any kind that callers hand over, as cases, checked as a run checks them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slicefill.ingestion.checks import check_same_grid
from slicefill.ingestion.found import RawCase
from slicefill.ingestion.reading import checked_case, read_raw_case
from slicefill.ingestion.voxels import check_finite
from slicefill.io.exchange import Kind, kind_of, to_volume
from slicefill.params import IngestionParams
from slicefill.params.ingestion import own_scans
from slicefill.types import Case, Volume


def read_one(image: str | Path, label: str | Path | None, params: IngestionParams) -> Case:
    """Read the only scan at a path, and its label map, as `read_found`."""
    return read_found(image, label, params)[1]


def read_found(
    image: str | Path, label: str | Path | None, params: IngestionParams, *, labelled: bool = True
) -> tuple[RawCase, Case]:
    """Read the only scan at a path, and its label map; return also where they were found.

    Args:
        image: A file or a folder.
        label: Its label map; None: the one that lies beside it, if there is one.
        params: How files are read, and what is checked.
        labelled: Whether label maps are read at all.

    Raises:
        BadCase: If a file is damaged, odd, or does not fit the other; says what to do.
        FileNotFoundError: If there is no scan.
        ValueError: If there are several.
    """
    from slicefill.batch.find import find_scans

    place = None if label is None else Path(label)
    with find_scans(Path(image), place, labelled=labelled) as found:
        for error in found.refused:
            raise error
        if len(found.cases) != 1:
            names = ", ".join(case.id for case in found.cases[:5])
            msg = (
                f"{image}: expected one scan, found {len(found.cases)} ({names}); name one of them"
            )
            raise ValueError(msg)
        return found.cases[0], read_raw_case(found.cases[0], params)


def open_scan(
    scan: Any,
    label: Any = None,
    voxel_spacing: Sequence[float] | None = None,
    params: IngestionParams | None = None,
    *,
    labelled: bool = True,
) -> tuple[Case, Kind | None]:
    """Return a scan of any kind as a case, and the kind that the result is packed as.

    Args:
        scan: A path, an array, an image or a `Case`.
        label: Its label map, or None.
        voxel_spacing: Of an array, mm.
        params: How files are read, and what is checked; `own_scans` if omitted.
        labelled: Whether the label map that lies beside a file, or that `impute` returned with an
            image, is taken where none is given.

    Raises:
        BadCase: If a check fails. Of a `Case`, its grids and that its image is finite are checked.
        ValueError: If they do not fit each other.
    """
    params = params or own_scans()
    if isinstance(scan, Case):
        if label is not None:
            msg = f"label: expected none beside a Case, which holds its own, got {label!r}"
            raise ValueError(msg)
        check_finite(scan.image)
        if scan.label is not None:
            check_same_grid(scan.image, scan.label, params.affine_tolerance)
        return scan, None
    kind = kind_of(scan)
    if isinstance(scan, str | Path):
        if voxel_spacing is not None or not isinstance(label, str | Path | None):
            msg = "a scan from a file: expected its label from a file, too, and no voxel_spacing"
            raise ValueError(msg)
        return read_found(scan, label, params, labelled=labelled or label is not None)[1], kind
    if label is None and labelled:
        label = getattr(scan, "label", None)  # of what `impute` returned
    if isinstance(label, str | Path):
        labels: Volume | None = read_one(label, None, own_scans()).image
    else:
        labels = None if label is None else to_volume(label, voxel_spacing)
    return checked_case(to_volume(scan, voxel_spacing), labels, params), kind
