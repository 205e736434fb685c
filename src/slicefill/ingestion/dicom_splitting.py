"""Volumes within a DICOM series: orientations, acquisitions, echoes, b-values, phases."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from slicefill.ingestion.dicom_acquisitions import by_acquisition
from slicefill.ingestion.dicom_headers import Header

_SAME_ORIENTATION = 0.05  # largest difference of a direction cosine
_FEW = 3  # so many times may rise evenly by chance
_SAME_POSITION = 0.01  # of a pixel, across the slices
Part = tuple[str, list[Header]]
"""What a volume is called within its series ("" if it is alone), and its slices."""


def split_series(slices: Sequence[Header]) -> list[Part]:
    """Divide a series into volumes: by orientation, by place, by what repeats at one position.

    A series in which no position repeats is one volume, whatever its elements say. Where
    positions repeat, it is divided by echo, b-value, kind of image and time, as far as needed;
    then by the order of the trigger times, or else of the acquisition and instance numbers, at
    every position.
    """
    return [
        part
        for plane, group in _by_orientation(slices)
        for name, acquisition in by_acquisition(plane, group)
        for part in _by_value(name, acquisition, _VALUES)
    ]


def _by_orientation(slices: Sequence[Header]) -> list[Part]:
    groups: list[tuple[NDArray[np.float64] | None, list[Header]]] = []
    for each in slices:
        own = each.numbers("ImageOrientationPatient", 6)
        same = [group for known, group in groups if _alike(own, known)]
        if same:
            same[0].append(each)
        else:
            groups.append((own, [each]))
    if max(len(group) for _, group in groups) == 1:
        return [("", list(slices))]  # a fan of slices, or one alone: reading says what it is
    names = [_plane(known) for known, _ in groups]
    counts = Counter(names)
    numbered = [
        f"{name}{index + 1}" if counts[name] > 1 else name for index, name in enumerate(names)
    ]
    if len(groups) == 1:
        numbered = [""]
    return [(name, group) for name, (_, group) in zip(numbered, groups, strict=True)]


def _alike(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.abs(one - other).max() <= _SAME_ORIENTATION)


def _plane(orientation: NDArray[np.float64] | None) -> str:
    if orientation is None:
        return "unplaced"
    normal = np.cross(orientation[:3], orientation[3:])
    return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(normal)))]


def _value(prefix: str, get: Callable[[Header], float | None]) -> Callable[[Header], str]:
    def name(header: Header) -> str:
        value = get(header)
        return f"{prefix}-none" if value is None else f"{prefix}{value:g}"

    return name


def _kind(header: Header) -> str:
    return "-".join(str(kind).lower() for kind in header.data.get("ImageType") or [])


_VALUES: tuple[Callable[[Header], str], ...] = (
    _value("echo", lambda header: header.number("EchoTime")),
    _value("echo", lambda header: header.number("EchoNumbers")),
    _value("b", lambda header: header.b_value),
    _kind,
    _value("time", lambda header: header.number("TemporalPositionIdentifier")),
)
_ORDERS = (
    ("phase", ("NominalPercentageOfCardiacPhase",)),
    ("phase", ("TriggerTime",)),
    ("volume", ("AcquisitionNumber", "InstanceNumber")),
)


def _by_value(
    name: str, slices: list[Header], values: Sequence[Callable[[Header], str]]
) -> list[Part]:
    places = _places(slices)
    if places is None or len(set(places)) == len(slices):
        return [(name, slices)]
    if not values:
        return _by_order(name, slices, places)
    first, *rest = values
    groups: dict[str, list[Header]] = {}
    for each in slices:
        groups.setdefault(first(each), []).append(each)
    if len(groups) == 1:
        return _by_value(name, slices, rest)
    short = _without_common(list(groups))
    return [
        part
        for own in sorted(groups)
        for part in _by_value(_join(name, short[own]), groups[own], rest)
    ]


def _without_common(names: list[str]) -> dict[str, str]:
    """Drop the words that all names have, where that leaves different names."""
    common = set.intersection(*(set(name.split("-")) for name in names))
    short = {
        name: "-".join(word for word in name.split("-") if word not in common) for name in names
    }
    return (
        short
        if "" not in short.values() and len({*short.values()}) == len(names)
        else {name: name for name in names}
    )


def _by_order(name: str, slices: list[Header], places: list[int]) -> list[Part]:
    """Take the n-th slice of every position as volume n, if all positions have as many.

    The slices of one position must differ in what orders them. Trigger times must also be
    those of phases (`_are_phases`); times that jitter are not.
    """
    counts = set(Counter(places).values())
    if len(counts) > 1 or len(set(places)) < 2:
        return [(name, slices)]
    for word, keywords in _ORDERS:
        order = [tuple(each.number(key) or 0.0 for key in keywords) for each in slices]
        ranks = _ranks(places, order)
        parts = [[k for k, own in enumerate(ranks) if own == rank] for rank in range(max(counts))]
        distinct = len(set(zip(places, order, strict=True))) == len(slices)
        if distinct and (word != "phase" or _are_phases(places, [time for time, *_ in order])):
            return [
                (_join(name, f"{word}{rank:02d}"), [slices[k] for k in part])
                for rank, part in enumerate(parts, start=1)
            ]
    return [(name, slices)]


def _are_phases(places: list[int], times: list[float]) -> bool:
    """Tell trigger times of phases from times that jitter.

    Either every phase ends at all positions before the next one begins; or there are more than
    `_FEW` phases, and the longest step between phases, over all positions, is less than twice the
    shortest.
    """
    own: dict[int, list[float]] = {}
    for place, time in sorted(zip(places, times, strict=True)):
        own.setdefault(place, []).append(time)
    phases = np.array([*own.values()])  # (positions, phases), rising
    steps = np.diff(phases, axis=1)
    apart = (phases[:, :-1].max(axis=0) < phases[:, 1:].min(axis=0)).all()
    return bool(apart or (phases.shape[1] > _FEW and steps.max() < 2 * steps.min()))


def _ranks(places: list[int], order: list[tuple[float, ...]]) -> list[int]:
    """Rank of every slice among those at its position."""
    ranks = [0] * len(places)
    seen: Counter[int] = Counter()
    for index in sorted(range(len(places)), key=lambda i: order[i]):
        ranks[index] = seen[places[index]]
        seen[places[index]] += 1
    return ranks


def _places(slices: Sequence[Header]) -> list[int] | None:
    """Number the positions across the slices; None where a slice says none."""
    orientation = slices[0].numbers("ImageOrientationPatient", 6)
    positions = [each.numbers("ImagePositionPatient", 3) for each in slices]
    if orientation is None or any(position is None for position in positions):
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    along = np.array(positions, dtype=float) @ normal
    pixel = slices[0].numbers("PixelSpacing", 2)
    tolerance = _SAME_POSITION * (1.0 if pixel is None else float(pixel.min()))
    order = np.argsort(along)
    numbers = np.concatenate([[0], np.cumsum(np.diff(along[order]) > tolerance)])
    places = np.empty(len(slices), dtype=int)
    places[order] = numbers
    return [int(place) for place in places]


def _join(*names: str) -> str:
    return "-".join(name for name in names if name)
