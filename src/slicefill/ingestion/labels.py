"""Conversion of label ids: they must be whole numbers and listed, and are merged as configured."""

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np

from slicefill.ingestion.checks import BadCase
from slicefill.params import LabelParams
from slicefill.types import Array, Volume

_ROUNDING = 8 * float(np.finfo(np.float32).eps)  # of an id: slopes and most numbers are float32
_LARGEST_ROUNDING = 0.01  # of an id; more is a mixture of ids
_LARGEST = np.iinfo(np.uint16).max


def merge_labels(label: Volume, params: LabelParams) -> Volume:
    """Map the ids of a label map to the configured ones.

    Args:
        label: Label map as stored, `(I, J, K)`.
        params: Names and groups of ids, and what happens to unlisted ids.

    Returns:
        The same grid with ids of `params.names` and 0, in uint8 if they fit, else uint16;
        slope 1, intercept 0.

    Raises:
        BadCase: If values are not whole numbers, or ids are unlisted and to be refused.
        ValueError: If names and groups contradict each other.
    """
    sources = source_ids(params)
    ids = _whole_numbers(label)
    known = {0}.union(*sources.values())
    unlisted = sorted(set(np.unique(ids.ravel(order="K")).tolist()) - known)
    if unlisted and params.unlisted == "refuse":
        raise BadCase(
            expected=f"label ids {_listed(sorted(known))}",
            found=f"also {_listed(unlisted)}",
            remedy="add them to ingestion.labels.names or groups, or set "
            "ingestion.labels.unlisted=background (or keep)",
        )
    merged_ids = list(chain.from_iterable(sources.values()))
    kept = ~np.isin(ids, merged_ids) if params.unlisted == "keep" else False
    base = np.where(kept, ids, 0)
    merged = base.astype(_smallest_type([*sources, int(base.min()), int(base.max())]))
    for new, old in sources.items():
        merged[np.isin(ids, old)] = new
    result = label.with_stored(merged)
    result.header.set_slope_inter(1, 0)
    return result


def source_ids(params: LabelParams) -> dict[int, list[int]]:
    """List the ids in the file per id after merging.

    Raises:
        ValueError: If an id has no name, no place in uint16, or two groups.
    """
    groups = params.groups
    sources = {new: [new] for new in params.names} if groups is None else groups
    twice = [
        old for old, count in Counter(chain.from_iterable(sources.values())).items() if count > 1
    ]
    nameless = sorted(set(sources) - set(params.names) - {0})
    outside = [new for new in sources if not 0 <= new <= _LARGEST]
    for fault, found in (("in two groups", twice), ("without a name", nameless)):
        if found:
            msg = f"labels.groups: ids {_listed(found)} are {fault}; give each one group and a name"
            raise ValueError(msg)
    if outside:
        msg = f"labels.names: ids must lie in 0 … {_LARGEST}, got {_listed(outside)}"
        raise ValueError(msg)
    return sources


def _whole_numbers(label: Volume) -> Array:
    slope, intercept = label.slope_intercept
    if label.stored.dtype.kind in "iu" and (slope, intercept) == (1.0, 0.0):
        return label.stored.astype(label.stored.dtype.newbyteorder("="), copy=False)
    values = label.stored.astype(np.float64) * slope + intercept
    ids = np.rint(values)
    allowed = _ROUNDING * np.maximum(np.abs(ids), 1)
    broken = ~(np.abs(values - ids) <= np.minimum(allowed, _LARGEST_ROUNDING))
    if broken.any():
        raise BadCase(
            expected="whole numbers as label ids",
            found=f"{broken.sum()} voxels with others, such as {values[broken][0]:.9g}",
            remedy="resample labels with nearest neighbour and store them as integers",
        )
    return ids.astype(np.int64)


def _smallest_type(ids: list[int]) -> type[np.unsignedinteger[Any]]:
    if min(ids) < 0 or max(ids) > _LARGEST:
        raise BadCase(
            expected=f"label ids in 0 … {_LARGEST}",
            found=f"{min(ids)} … {max(ids)}",
            remedy="give them such numbers in the file, or by ingestion.labels.groups (new id: "
            "[ids in the file]) and ingestion.labels.names",
        )
    return np.uint8 if max(ids) < 256 else np.uint16


def _listed(ids: list[int], most: int = 10) -> str:
    return ", ".join(map(str, ids[:most])) + (" …" if len(ids) > most else "")
