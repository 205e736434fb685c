"""Proof that an imputed case still holds every acquired slice, bit for bit and in its place."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import placing_error, slices_first, step_map, through_plane_axis
from slicefill.types import Array, Case, Volume

MASK = "synthetic_mask"
_TOLERANCE = 1e-3  # of the smallest spacing; what float32 cannot tell apart comes on top


class _Pair(NamedTuple):
    """A volume of the output, the one it was imputed from, and how their slices correspond."""

    name: str
    output: Volume
    source: Volume
    axis: int
    step: int  # output slice k × step is acquired slice k


def verify_imputed_case(output: Case, source: Case) -> list[str]:
    """Compare an imputed case with the case it was made from.

    Checked, for image and label: the shape; dtype and byte order; slope and intercept; SHA-256
    of the stored bytes of every acquired slice; the world position of the corners of every
    acquired slice and the spacing, by sform and by qform, within 1e-3 of the smallest spacing
    (and what float32 can tell apart there).
    Besides: no new label ids, a right `synthetic_mask`, maps on the grid of the image, and no
    synthetic value that is not finite.

    Args:
        output: The imputed case; its record gives `axis`, the array axis across slices, and
            `count`, the synthetic slices per interval N. `labels: none` in it says that the method
            imputes no labels.
        source: The case before imputing.

    Returns:
        The differences, one string for each: what, what was expected, what was found. Empty if
        there are none.
    """
    axis, count = output.record.get("axis"), output.record.get("count")
    if not isinstance(axis, int) or not isinstance(count, int) or axis not in range(3) or count < 0:
        return [f"record: expected axis 0, 1 or 2 and count >= 0, found {axis!r} and {count!r}"]
    pairs = [_Pair("image", output.image, source.image, axis, count + 1)]
    if output.label is not None and source.label is not None:
        pairs.append(_Pair("label", output.label, source.label, axis, count + 1))
    differences = [text for pair in pairs for text in _volume_differences(pair)]
    if output.label is not None or output.record.get("labels") != "none":
        differences += _label_differences(output.label, source.label)
    differences += _map_differences(output)
    differences += _mask_differences(output, axis, count + 1)
    return differences


def with_grid(output: Case, source: Case) -> Case:
    """Complete an imputed case that was read from single files, which hold no record and no mask.

    Args:
        output: Returned as it is if its record says `axis` and `count`.
        source: The case before imputing; axis and count follow from the shapes of both.
    """
    if "axis" in output.record:
        return output
    shape, before = output.image.stored.shape, source.image.stored.shape
    longer = [axis for axis in range(3) if shape[axis] != before[axis]]
    axis = longer[0] if longer else through_plane_axis(source.image.affine, "auto")
    count = max((shape[axis] - 1) // max(before[axis] - 1, 1) - 1, 0)
    mask = np.zeros(shape[:3], np.uint8)
    slices_first(mask, axis)[np.arange(shape[axis]) % (count + 1) > 0] = 1
    maps = {MASK: output.image.with_stored(mask, slope_intercept=(1.0, 0.0)), **output.maps}
    return replace(output, maps=maps, record={**output.record, "axis": axis, "count": count})


def _volume_differences(pair: _Pair) -> Iterator[str]:
    name, output, source, axis, step = pair
    shape = list(source.stored.shape)
    shape[axis] = (shape[axis] - 1) * step + 1
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
    finite = np.isfinite(slices_first(output.stored, axis))
    finite[::step] = True  # an acquired slice is compared bit for bit instead
    if not finite.all():
        yield f"{name}: expected finite synthetic values, found {(~finite).sum()} others"


def _slice_differences(pair: _Pair) -> Iterator[str]:
    acquired = slices_first(pair.source.stored, pair.axis)
    kept = slices_first(pair.output.stored, pair.axis)[:: pair.step]
    for k, (before, after) in enumerate(zip(acquired, kept, strict=True)):
        expected, found = _sha256(before), _sha256(after)
        if found != expected:
            where = f"{pair.name}: acquired slice {k}, output slice {k * pair.step}"
            yield f"{where}: expected SHA-256 {expected[:12]}, found {found[:12]}"


def _sha256(stored: Array) -> str:
    return hashlib.sha256(stored.tobytes()).hexdigest()


def _world_differences(pair: _Pair) -> Iterator[str]:
    tolerance = _tolerance(pair.source)
    steps = step_map(pair.axis, pair.step)
    before = _corners(pair.source.stored.shape, pair.axis)
    after = nib.affines.apply_affine(steps, before)
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
                f"{pair.name} {form}: expected the corners of acquired slices within "
                f"{tolerance:.2g} mm of their place, found them up to {offset:.4g} mm off"
            )
        spacing = nib.affines.voxel_sizes(affine) / steps.diagonal()[:3]
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


def _mask_differences(output: Case, axis: int, step: int) -> Iterator[str]:
    mask = output.maps.get(MASK)
    if mask is None:
        yield f"{MASK}: expected this map, found {sorted(output.maps)}"
        return
    slices = slices_first(mask.stored, axis)
    synthetic = np.arange(len(slices)) % step != 0
    wrong = [k for k, one in enumerate(slices) if (one != synthetic[k]).any()]
    if wrong:
        yield f"{MASK}: expected 1 in synthetic, 0 in acquired slices, found otherwise in {wrong}"
