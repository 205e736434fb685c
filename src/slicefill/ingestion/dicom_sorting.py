"""DICOM files of a whole tree, sorted into volumes by what they say, not by their folders."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.dicom_headers import Header, read_header, why_no_slice
from slicefill.ingestion.dicom_splitting import Part, split_series
from slicefill.ingestion.found import Found, LeftAside, RawCase
from slicefill.ingestion.raw_files import foreign_kind
from slicefill.ingestion.suffixes import DICOM

_Key = tuple[str, ...]  # of a series
_WHOSE = ("StudyInstanceUID", "PatientID")


def sort_dicom(files: Iterable[Path], folder: Path) -> Found:
    """Sort the DICOM files among these into cases; others are not mentioned.

    A case is called after the folder that holds its series (`folder` itself: by its name), the
    series' number where a folder holds several, and what sets it apart within its series.
    """
    found = Found()
    unread: list[Path] = []
    slices: list[Header] = []
    for path in files:
        header = _read(path, folder, found)
        if header is None:
            unread.append(path)
            continue
        reason = why_no_slice(header)
        if reason:
            found.left_aside.append(LeftAside(path, reason))
        else:
            slices.append(header)
    series = _series(slices)
    refused = {error.file for error in found.refused}
    unread = [path for path in unread if path not in refused]
    found.refused += _damaged(unread, series.values(), folder)
    groups = {key: _without_copies(headers, found) for key, headers in series.items()}
    for name, headers in zip(_names(groups, folder), groups.values(), strict=True):
        for part, slices in _parts(headers, found):
            files_of_case = tuple(each.path for each in slices)
            own = f"{name}-{part}" if part else name
            found.cases.append(RawCase(own, files_of_case, None, _study(slices[0])))
    return found


def _read(path: Path, folder: Path, found: Found) -> Header | None:
    try:
        return read_header(path)
    except BadCase as error:
        error.case = path.relative_to(folder).as_posix()
        found.refused.append(error)
        return None


def _damaged(unread: Iterable[Path], series: Iterable[list[Header]], folder: Path) -> list[BadCase]:
    """Refuse files called as DICOM among slices, and not of it: a slice may be missing."""
    places = {each.path.parent for headers in series for each in headers}
    return [
        BadCase(
            expected="a whole and readable DICOM file, as those beside it",
            found=f"{path.stat().st_size} bytes that are none",
            remedy="copy or export it again, for the series may lack this slice; or remove it",
            case=path.relative_to(folder).as_posix(),
            file=path,
        )
        for path in unread
        if path.name.lower().endswith(DICOM) and path.parent in places and path.is_file()
        if not foreign_kind(path)
    ]


def _series(slices: Iterable[Header]) -> dict[_Key, list[Header]]:
    """Sort slices into series: by their UID, and by study and patient where these differ.

    Anonymising may give the scans of several patients one UID. A slice that lacks the study or the
    patient belongs to those of the others, where these agree.
    """
    by_uid: dict[str, list[Header]] = {}
    for each in slices:
        uid = each.text("SeriesInstanceUID") or f"in {each.path.parent}"
        by_uid.setdefault(uid, []).append(each)
    series: dict[_Key, list[Header]] = {}
    for uid, headers in by_uid.items():
        told = [tuple(map(each.text, _WHOSE)) for each in headers]
        alone = [_only(values) for values in zip(*told, strict=True)]
        for each, own in zip(headers, told, strict=True):
            whose = tuple(value or known for value, known in zip(own, alone, strict=True))
            series.setdefault((uid, *whose), []).append(each)
    return series


def _only(values: Iterable[str]) -> str:
    """The only value besides ""; "" where there is none, or several."""
    there = {*values} - {""}
    return there.pop() if len(there) == 1 else ""


def _study(header: Header) -> str | None:
    """Name the study without its identifier, by which a hospital would find the patient."""
    uid = header.text("StudyInstanceUID")
    return f"study-{hashlib.sha256(uid.encode()).hexdigest()[:12]}" if uid else None


def _without_copies(headers: list[Header], found: Found) -> list[Header]:
    """Leave copies aside: slices with the UID and the position of an earlier one.

    Anonymising may give all slices one UID.
    """
    seen: set[tuple[str, Any]] = set()
    kept = []
    for each in headers:
        place = each.numbers("ImagePositionPatient", 3)
        at = each.text("InstanceNumber") if place is None else tuple(place.round(3))
        own = each.text("SOPInstanceUID"), at
        if own[0] and own in seen:
            found.left_aside.append(LeftAside(each.path, "a second copy of a DICOM slice"))
        else:
            kept.append(each)
        seen.add(own)
    return kept


def _names(groups: Mapping[_Key, list[Header]], folder: Path) -> list[str]:
    """Name every series after its folder, with its number where there are several in it."""
    keys = [(_place(headers, folder), _number(headers)) for headers in groups.values()]
    in_place = Counter(place for place, _ in keys)
    same_number = Counter(keys)
    series: dict[str, list[_Key]] = {}
    for (place, _), own in zip(keys, groups, strict=True):
        series.setdefault(place, []).append(own)
    names = []
    for (place, number), own in zip(keys, groups, strict=True):
        rank = sorted(series[place]).index(own) + 1
        alone = bool(number) and same_number[place, number] == 1
        ending = f"-series{number}" if alone else f"-{rank}"
        names.append(place if in_place[place] == 1 else f"{place}{ending}")
    return names


def _place(headers: list[Header], folder: Path) -> str:
    parents = [each.path.parent.relative_to(folder).as_posix() for each in headers]
    common = os.path.commonpath(parents) if parents else "."
    return folder.resolve().name if common in ("", ".") else common


def _number(headers: list[Header]) -> str:
    return headers[0].text("SeriesNumber")


def _parts(headers: list[Header], found: Found) -> list[Part]:
    """Divide a series; slices that are alone beside a volume are left aside."""
    many = [each for each in headers if each.frames > 1]
    parts: list[Part] = [
        (f"file{index + 1}" if len(headers) > 1 else "", [each]) for index, each in enumerate(many)
    ]
    single = [each for each in headers if each.frames == 1]
    if not single:
        return parts
    divided = split_series(single)
    alone = [slices[0] for _, slices in divided if len(slices) == 1]
    if many or len(alone) < len(divided):
        reason = "a DICOM slice that is alone beside a volume of its series (a localizer?)"
        found.left_aside += [LeftAside(each.path, reason) for each in alone]
        divided = [(name, slices) for name, slices in divided if len(slices) > 1]
    if len(divided) + len(parts) == 1:
        divided = [("", slices) for _, slices in divided]
    return parts + divided
