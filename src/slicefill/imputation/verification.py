"""Proof that an imputed case still holds every acquired slice, bit for bit and in its place."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import placing_error, slices_first, step_map, through_plane_axis
from slicefill.imputation.grids import exact_places
from slicefill.imputation.trace import acquired_places
from slicefill.types import Array, Case, Volume

MASK = "synthetic_mask"
_TOLERANCE = 1e-3  # of the smallest spacing; what float32 cannot tell apart comes on top


class _Pair(NamedTuple):
    """A volume of the output, the one it was imputed from, and how their slices correspond."""

    name: str
    output: Volume
    source: Volume
    grid: "_Grid"


class _Grid(NamedTuple):
    """How the slices of an output correspond to those of its source."""

    axis: int
    step: float  # distance of the output's slices, in intervals between acquired ones
    depth: int  # slices of the output
    acquired: Mapping[int, int]  # output slice → acquired slice


def verify_imputed_case(output: Case, source: Case) -> list[str]:
    """Compare an imputed case with the case it was made from.

    Checked, for image and label: the shape; dtype and byte order; slope and intercept; SHA-256
    of the stored bytes of every acquired slice; the world position of the corners of every
    acquired slice and the spacing, by sform and by qform, within 1e-3 of the smallest spacing
    (and what float32 can tell apart there). On an exact grid that holds for the acquired slices
    that fall on it; the place of all slices and which ones the record calls acquired are checked.
    Besides: no new label ids, a right `synthetic_mask`, maps on the grid of the image, and no
    synthetic value that is not finite.

    Args:
        output: The imputed case; its record gives `axis`, the array axis across slices, and
            `count`, the synthetic slices per interval N, or `exact` and `slice_spacing_mm`.
            `labels: none` in it says that the method imputes no labels.
        source: The case before imputing.

    Returns:
        The differences, one string for each: what, what was expected, what was found. Empty if
        there are none.
    """
    grid = _grid(output.record, source)
    if isinstance(grid, str):
        return [grid]
    pairs = [_Pair("image", output.image, source.image, grid)]
    if output.label is not None and source.label is not None:
        pairs.append(_Pair("label", output.label, source.label, grid))
    differences = [*_record_differences(output.record, grid)]
    differences += [text for pair in pairs for text in _volume_differences(pair)]
    if output.label is not None or output.record.get("labels") != "none":
        differences += _label_differences(output.label, source.label)
    differences += _map_differences(output)
    differences += _mask_differences(output, grid)
    return differences


def _grid(record: Mapping[str, Any], source: Case) -> _Grid | str:
    """Return the grid that a record claims, or what is wrong with the claim."""
    axis, count = record.get("axis"), record.get("count")
    if not isinstance(axis, int) or axis not in range(3):
        return f"record: expected axis 0, 1 or 2, found {axis!r}"
    depth = source.image.stored.shape[axis]
    if record.get("exact"):
        target = record.get("slice_spacing_mm")
        if not isinstance(target, float | int) or not target > 0:
            return f"record: expected slice_spacing_mm above 0 of an exact grid, found {target!r}"
        step = target / float(source.image.spacing[axis])
        places = exact_places(depth, step)
        whole = {k: int(place) for k, place in enumerate(places) if place % 1 == 0}
        acquired = {k: place for k, place in whole.items() if place not in source.absent}
        return _Grid(axis, step, len(places), acquired)
    if not isinstance(count, int) or count < 0:
        return f"record: expected count >= 0, found {count!r}"
    parts = count + 1
    acquired = {k * parts: k for k in range(depth) if k not in source.absent}
    return _Grid(axis, 1 / parts, (depth - 1) * parts + 1, acquired)


def with_grid(output: Case, source: Case) -> Case:
    """Complete an imputed case that was read from single files, which hold no record and no mask.

    Args:
        output: If its record says `axis` and what the grid is, only a missing mask is added.
        source: The case before imputing; else axis and count follow from the shapes of both.
    """
    if "axis" in output.record:
        grid = _grid(output.record, source)
        if MASK in output.maps or isinstance(grid, str):
            return output
        return _with_mask(output, grid.axis, grid.acquired)
    shape, before = output.image.stored.shape, source.image.stored.shape
    longer = [axis for axis in range(3) if shape[axis] != before[axis]]
    axis = longer[0] if longer else through_plane_axis(source.image.affine, "auto")
    count = max((shape[axis] - 1) // max(before[axis] - 1, 1) - 1, 0)
    whole = replace(output, record={**output.record, "axis": axis, "count": count})
    acquired = [k * (count + 1) for k in range(before[axis]) if k not in source.absent]
    return _with_mask(whole, axis, acquired)


def _with_mask(output: Case, axis: int, acquired: Collection[int]) -> Case:
    """Add the mask that the grid implies, where none was written."""
    shape = output.image.stored.shape[:3]
    mask = np.zeros(shape, np.uint8)
    synthetic = [k for k in range(shape[axis]) if k not in acquired]
    slices_first(mask, axis)[synthetic] = 1
    maps = {MASK: output.image.with_stored(mask, slope_intercept=(1.0, 0.0)), **output.maps}
    return replace(output, maps=maps)


def _volume_differences(pair: _Pair) -> Iterator[str]:
    name, output, source, grid = pair
    shape = list(source.stored.shape)
    shape[grid.axis] = grid.depth
    if output.stored.shape != tuple(shape):
        yield f"{name}: expected shape {tuple(shape)}, found {output.stored.shape}"
        return  # slices cannot be matched
    if output.slope_intercept != source.slope_intercept:
        yield (
            f"{name}: expected slope and intercept {source.slope_intercept}, "
            f"found {output.slope_intercept}"
        )
    if output.stored.dtype.str == source.stored.dtype.str:
        yield from _slice_differences(pair)
    else:
        yield f"{name}: expected dtype {source.stored.dtype.str}, found {output.stored.dtype.str}"
    yield from _world_differences(pair)
    finite = np.isfinite(slices_first(output.stored, grid.axis))
    finite[list(grid.acquired)] = True  # an acquired slice is compared bit for bit instead
    if not finite.all():
        yield f"{name}: expected finite synthetic values, found {(~finite).sum()} others"


def _slice_differences(pair: _Pair) -> Iterator[str]:
    acquired = slices_first(pair.source.stored, pair.grid.axis)
    kept = slices_first(pair.output.stored, pair.grid.axis)
    for index, k in pair.grid.acquired.items():
        expected, found = _sha256(acquired[k]), _sha256(kept[index])
        if found != expected:
            where = f"{pair.name}: acquired slice {k}, output slice {index}"
            yield f"{where}: expected SHA-256 {expected[:12]}, found {found[:12]}"


def _sha256(stored: Array) -> str:
    return hashlib.sha256(stored.tobytes()).hexdigest()


def _world_differences(pair: _Pair) -> Iterator[str]:
    tolerance = _tolerance(pair.source)
    steps = step_map(pair.grid.axis, pair.grid.step)
    after = _corners(pair.output.stored.shape, pair.grid.axis)
    before = nib.affines.apply_affine(steps, after)
    forms = _forms(pair.source) or {"affine": pair.source.affine}
    found_forms = {"affine": pair.output.affine, **_forms(pair.output)}
    for form, affine in forms.items():
        found = found_forms.get(form)
        if found is None:
            yield f"{pair.name}: expected a valid {form}, found none"
            continue
        expected = nib.affines.apply_affine(affine, before)
        offset = np.linalg.norm(nib.affines.apply_affine(found, after) - expected, axis=1).max()
        # A comparison with NaN is false, so ask for what must hold.
        if not offset <= tolerance:
            yield (
                f"{pair.name} {form}: expected the corners of slices within "
                f"{tolerance:.2g} mm of their place, found them up to {offset:.4g} mm off"
            )
        spacing = nib.affines.voxel_sizes(affine) * steps.diagonal()[:3]
        found_spacing = nib.affines.voxel_sizes(found)
        if not np.allclose(found_spacing, spacing, rtol=0, atol=tolerance):
            yield f"{pair.name} {form}: expected spacing {spacing} mm, found {found_spacing}"


def _tolerance(volume: Volume) -> float:
    """Largest distance, mm, at which a position counts as the same."""
    error = placing_error(volume.affine, volume.stored.shape)
    return float(_TOLERANCE * volume.spacing.min() + error)


def _forms(volume: Volume) -> dict[str, NDArray[np.float64]]:
    """Each affine that the header declares valid: programs differ in which they take."""
    header = volume.header
    forms = {"sform": header.get_sform(coded=True)[0], "qform": header.get_qform(coded=True)[0]}
    return {form: affine for form, affine in forms.items() if affine is not None}


def _corners(shape: tuple[int, ...], axis: int) -> Array:
    """Voxel indices of the four corners of every slice, `(4 D, 3)`."""
    ends = [(0, size - 1) for size in shape[:3]]
    return np.array(list(product(*ends[:axis], range(shape[axis]), *ends[axis + 1 :])))


def _label_differences(output: Volume | None, source: Volume | None) -> Iterator[str]:
    if (output is None) != (source is None):
        expected, found = ("none" if v is None else "one" for v in (source, output))
        yield f"label: expected {expected}, found {found}"
    if output is not None and source is not None:
        ids = set(np.unique(source.stored).tolist())
        new = sorted(set(np.unique(output.stored).tolist()) - ids)
        if new:
            yield f"label: expected ids out of {sorted(ids)}, found also {new}"


def _map_differences(output: Case) -> Iterator[str]:
    tolerance = _tolerance(output.image)
    expected = output.image.stored.shape[:3]
    for name, volume in output.maps.items():
        if volume.stored.shape[:3] != expected:
            yield f"{name}: expected the image's grid {expected}, found {volume.stored.shape}"
        elif not np.allclose(volume.affine, output.image.affine, rtol=0, atol=tolerance):
            yield f"{name}: expected the image's affine, found {volume.affine.tolist()}"
        if not np.isfinite(volume.stored).all():
            yield f"{name}: expected finite values, found others"


def _record_differences(record: Mapping[str, Any], grid: _Grid) -> Iterator[str]:
    """What the record of an exact grid says of its slices, against where they fall."""
    if not record.get("exact"):
        return
    slices = record.get("slices", [])
    claimed = acquired_places(slices)
    if claimed != grid.acquired:
        yield (
            f"record: expected the acquired slices {dict(grid.acquired)} (output: acquired) on the "
            f"grid, found {claimed}"
        )
    if len(slices) != grid.depth:
        yield f"record: expected {grid.depth} slices, found {len(slices)}"


def _mask_differences(output: Case, grid: _Grid) -> Iterator[str]:
    mask = output.maps.get(MASK)
    if mask is None:
        yield f"{MASK}: expected this map, found {sorted(output.maps)}"
        return
    slices = slices_first(mask.stored, grid.axis)
    synthetic = [k not in grid.acquired for k in range(len(slices))]
    wrong = [k for k, one in enumerate(slices) if (one != synthetic[k]).any()]
    if wrong:
        yield f"{MASK}: expected 1 in synthetic, 0 in acquired slices, found otherwise in {wrong}"
