"""Volumes as NumPy arrays, nibabel images and SimpleITK images, and back."""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.io.case_folder import encode_volume
from slicefill.types import Array, Case, Volume

_TIME_UNITS = ("sec", "msec", "usec")


class ImputedArray(np.ndarray[Any, Any]):
    """An imputed volume as an array, with what belongs to it.

    Attributes:
        label: The label map, or None.
        mask: 1 in synthetic slices.
        confidence: [0, 1], acquired slices 1.
        maps: What else a method made, by name: `spread`, `sample_1`, `sample_label_1`, …
        record: How each slice came about.
        header: NIfTI header: where the voxels lie.
    """

    header: nib.Nifti1Header | None = None
    label: "ImputedArray | None" = None
    mask: "ImputedArray | None" = None
    confidence: "ImputedArray | None" = None
    maps: Mapping[str, "ImputedArray"] = {}
    record: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Kind:
    """A kind of image in which results are handed back.

    Attributes:
        make: Makes one from a volume.
    """

    make: Callable[[Volume], Any]

    def pack(self, case: Case) -> Any:
        """Return the image of a case, with `label`, `mask`, `confidence`, `maps` and `record`."""
        image = self.make(case.image)
        image.label = None if case.label is None else self.make(case.label)
        image.mask = self.make(case.maps["synthetic_mask"])
        confidence = case.maps["confidence"]
        image.confidence = self.make(confidence.with_stored(confidence.intensities(), None, (1, 0)))
        further = case.maps.keys() - {"synthetic_mask", "confidence"}
        image.maps = {name: self.make(case.maps[name]) for name in sorted(further)}
        image.record = case.record
        return image


def kind_of(scan: Any) -> Kind:
    """Return the kind of what a caller gave; a path is handed back as a nibabel image.

    Raises:
        TypeError: If it is of no kind that is known.
    """
    if isinstance(scan, np.ndarray):
        return Kind(_as_array)
    if _is_itk(scan):
        return Kind(to_itk)
    if isinstance(scan, str | Path | nib.Nifti1Pair):
        return Kind(to_nibabel)
    if isinstance(scan, nib.spatialimages.SpatialImage):
        return Kind(partial(_as_class, type(scan)))
    msg = (
        "scan: expected a path, a NumPy array, a nibabel image, a SimpleITK image or a Case, got "
        f"{type(scan).__name__}"
    )
    raise TypeError(msg)


def to_volume(scan: Any, voxel_spacing: Sequence[float] | None = None) -> Volume:
    """Wrap what a caller gave: a volume, an array with its spacing (mm), an image.

    Raises:
        ValueError: If an array comes without spacing, or anything else with one.
        TypeError: If it is of no kind that is known.
    """
    if isinstance(scan, ImputedArray) and scan.header is not None and voxel_spacing is None:
        return Volume(np.asarray(scan), scan.header)
    if isinstance(scan, np.ndarray) == (voxel_spacing is None):
        given = "none" if voxel_spacing is None else list(voxel_spacing)
        msg = f"voxel_spacing: expected it for an array and for nothing else, got {given}"
        raise ValueError(msg)
    if isinstance(scan, Volume):
        return scan
    if voxel_spacing is not None:
        return from_array(np.asarray(scan), voxel_spacing)
    if _is_itk(scan):
        return from_itk(scan)
    kind_of(scan)  # raises if it is none
    return from_nibabel(scan)


def _is_itk(scan: Any) -> bool:
    """Whether it is a SimpleITK image; who has one, has imported SimpleITK."""
    itk = sys.modules.get("SimpleITK")
    return itk is not None and isinstance(scan, itk.Image)


def _as_array(volume: Volume) -> ImputedArray:
    array = volume.stored.view(ImputedArray)
    array.header = volume.header
    return array


def _as_class(image_class: Any, volume: Volume) -> Any:
    slope, intercept = volume.slope_intercept
    plain = volume.stored if (slope, intercept) == (1, 0) else volume.intensities()
    return image_class(plain, volume.affine)


def from_array(array: Array, spacing: Sequence[float]) -> Volume:
    """Wrap an array; its axes become the world's L, A and S.

    Args:
        array: `(I, J, K)` or `(I, J, K, C)`, any real type; bool becomes uint8.
        spacing: Of its voxels along the three axes, mm.

    Raises:
        ValueError: If it is no volume, or the spacing is not three numbers above 0.
    """
    from slicefill.ingestion.nifti import new_volume

    if array.ndim not in (3, 4) or min(array.shape) < 1:
        msg = f"scan: expected an array (I, J, K) or (I, J, K, C), got shape {array.shape}"
        raise ValueError(msg)
    pitch = np.atleast_1d(np.asarray(spacing, dtype=float))
    if pitch.shape != (3,) or not (np.isfinite(pitch) & (pitch > 0)).all():
        msg = f"voxel_spacing: expected three numbers above 0 (mm), got {spacing}"
        raise ValueError(msg)
    if array.dtype.kind not in "biuf" or array.dtype == np.float16:
        msg = f"scan: expected integers or floats of 4 or 8 bytes, got {array.dtype}"
        raise ValueError(msg)
    stored = array.astype(np.uint8) if array.dtype == bool else array
    return new_volume(stored, np.diag([*pitch, 1.0]))


def from_nibabel(image: Any) -> Volume:
    """Wrap a nibabel image of any class: the stored numbers, before slope and intercept."""
    from slicefill.ingestion.nifti import new_volume

    proxy = image.dataobj
    scaled = hasattr(proxy, "get_unscaled")
    stored = np.asarray(proxy.get_unscaled() if scaled else proxy)
    slope_intercept = (proxy.slope, proxy.inter) if scaled else (1.0, 0.0)
    if not isinstance(image, nib.Nifti1Pair):
        return new_volume(stored, image.affine, slope_intercept)
    header = image.header.copy()
    header.set_data_dtype(stored.dtype)
    header.set_slope_inter(*slope_intercept)
    return Volume(stored, header)


def to_nibabel(volume: Volume) -> Any:
    """Return a NIfTI image that nibabel holds as if it had read it from a file."""
    is_nifti2 = isinstance(volume.header, nib.Nifti2Header)
    kind: Any = nib.Nifti2Image if is_nifti2 else nib.Nifti1Image
    if volume.slope_intercept == (1.0, 0.0):
        return kind(volume.stored, volume.affine, volume.header, dtype=volume.stored.dtype)
    return kind.from_stream(io.BytesIO(encode_volume(volume, compressed=False)))


def from_itk(image: Any) -> Volume:
    """Wrap a SimpleITK image; its geometry goes from ITK's LPS to RAS.

    Raises:
        BadCase: If it is no volume of real numbers.
    """
    from slicefill.ingestion.itk import volume_of

    return volume_of(image)


def to_itk(volume: Volume) -> Any:
    """Return a SimpleITK image of the same numbers in the same world, in LPS.

    Of four axes, the last is time where the header has a unit of time, else it holds components.

    Raises:
        ValueError: If the volume has a slope or an intercept, which ITK has no place for.
    """
    import SimpleITK

    if volume.slope_intercept != (1.0, 0.0):
        msg = (
            f"the scan has slope and intercept {volume.slope_intercept}, which only NIfTI can "
            "hold; name an output that ends in .nii.gz"
        )
        raise ValueError(msg)
    channels = volume.stored.ndim == 4
    times = channels and volume.header.get_xyzt_units()[1] in _TIME_UNITS
    stored = volume.stored.T if times or not channels else volume.stored.transpose(2, 1, 0, 3)
    native = np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))
    image: Any = SimpleITK.GetImageFromArray(native, isVector=channels and not times)
    _put_in_place(image, volume)
    return image


def _put_in_place(image: Any, volume: Volume) -> None:
    """Say to a SimpleITK image where it lies, and when, if its fourth axis is time."""
    from slicefill.ingestion.itk import LPS_TO_RAS, TIME

    affine = LPS_TO_RAS @ volume.affine
    spacing = nib.affines.voxel_sizes(affine)
    dimension = image.GetDimension()
    direction = np.eye(dimension)
    direction[:3, :3] = affine[:3, :3] / spacing
    step = float(volume.header["pixdim"][1 + TIME])
    pitches = [*spacing.tolist(), step if step > 0 else 1.0]  # ITK takes no spacing of 0
    origin = [*affine[:3, 3].tolist(), float(volume.header["toffset"])]
    image.SetSpacing(pitches[:dimension])
    image.SetOrigin(origin[:dimension])
    image.SetDirection(direction.ravel().tolist())
