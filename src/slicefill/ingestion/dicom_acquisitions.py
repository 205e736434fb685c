"""Acquisitions at different places within one DICOM series."""

import logging
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slicefill.ingestion.checks import printable
from slicefill.ingestion.dicom_gaps import regular_places
from slicefill.ingestion.dicom_headers import Header

logger = logging.getLogger(__name__)
_EVEN = 0.05  # of a step: steps that differ by no more are even


def by_acquisition(name: str, slices: list[Header]) -> list[tuple[str, list[Header]]]:
    """Divide slices of one orientation by AcquisitionNumber, if they are several scans by it.

    They are where the slices together are not even, those of every acquisition are, and no
    acquisition reaches into another one along the slices. Where slices of one acquisition are
    missing, or acquisitions are interleaved, nothing is divided. Where they may be one scan that
    lacks slices between them, the log says so.

    Returns:
        What each part is called, and its slices.
    """
    groups: dict[float, list[Header]] = {}
    for each in slices:
        groups.setdefault(each.number("AcquisitionNumber") or 0.0, []).append(each)
    if len(groups) < 2:
        return [(name, slices)]
    whole = _along(slices)
    parts = [_along(group) for group in groups.values()]
    if whole is None or _is_even(whole) or not all(p is not None and _is_even(p) for p in parts):
        return [(name, slices)]
    ranges = sorted((part[0, 2], part[-1, 2]) for part in parts if part is not None)
    if any(end > start for (_, end), (start, _) in pairwise(ranges)):
        return [(name, slices)]
    if lacking := _lacking(whole):
        logger.warning(
            "%s: %d acquisitions of a series lie on one grid, %d slices short between them, and "
            "are imputed apart; if they are one scan, take AcquisitionNumber out of copies of the "
            "files (dcmodify -ea 0020,0012), and have the missing slices imputed (--fill-missing)",
            printable(str(slices[0].path.parent)),
            len(groups),
            lacking,
        )
    prefix = f"{name}-" if name else ""
    return [(f"{prefix}acquisition{number:g}", groups[number]) for number in sorted(groups)]


def _along(slices: Sequence[Header]) -> NDArray[np.float64] | None:
    """Positions in order, `(K, 3)`, mm; the last axis across the slices. None if one lacks."""
    orientation = slices[0].numbers("ImageOrientationPatient", 6)
    positions = [each.numbers("ImagePositionPatient", 3) for each in slices]
    if orientation is None or any(position is None for position in positions):
        return None
    rows, columns = np.reshape(orientation, (2, 3))
    axes = np.stack([rows, columns, np.cross(rows, columns)], axis=1)
    placed: NDArray[np.float64] = np.array(positions, dtype=float) @ axes
    return placed[np.argsort(placed[:, 2])]


def _is_even(placed: NDArray[np.float64]) -> bool:
    return _are_even(np.diff(placed, axis=0))


def _lacking(placed: NDArray[np.float64]) -> int:
    """Count the slices that lack where slices lie at even steps but for gaps; else 0."""
    places = regular_places(placed[:, 2], _EVEN)
    if places is None:
        return 0
    counts = np.diff(places)
    even = np.median(counts) == 1 and _are_even(np.diff(placed, axis=0) / counts[:, None])
    return int((counts - 1).sum()) if even else 0


def _are_even(steps: NDArray[np.float64]) -> bool:
    if len(steps) == 0:
        return False
    typical = np.median(steps, axis=0)
    allowed = _EVEN * typical[2]
    return bool(typical[2] > 0 and (np.linalg.norm(steps - typical, axis=1) <= allowed).all())
