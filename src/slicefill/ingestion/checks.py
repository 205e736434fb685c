"""Checks of one volume and of a pair of volumes, and the errors that they raise."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import AxisName, placing_error, through_plane_axis
from slicefill.types import Array, Volume, coded_qform

ONE_SLICE = "one slice: nothing lies between slices"
"""Why a case is left aside."""
_FLAT = 1e-4  # volume of the cell spanned by the three unit axes; 1 when they are orthogonal


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse 2D images and empty axes."""
    if len(shape) < 3 or min(shape) < 1:
        flat = len(shape) < 3
        raise BadCase(
            expected="a volume of three axes",
            found=f"shape {_times(shape)}",
            remedy=f"{'join the slices of one scan in one file' if flat else 'export it again'}",
        )


def check_spacing(spacing: Array) -> None:
    """Refuse voxel pitches (mm, as stored in the header) that are not above 0."""
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise BadCase(
            expected="finite voxel spacing above 0 mm",
            found=f"pixdim {_times(spacing.tolist())}",
            remedy="correct the header or export the scan again",
        )


def check_header(header: nib.Nifti1Header) -> None:
    """Refuse a header whose spacing, unit or qform cannot be used."""
    check_spacing(header["pixdim"][1:4])
    check_unit(header)
    check_rotation(header)


def check_unit(header: nib.Nifti1Header) -> None:
    """Refuse lengths in metres or microns: everything here reads the affine as mm."""
    unit = header.get_xyzt_units()[0]
    if unit not in ("mm", "unknown"):
        raise BadCase(
            expected="a header in mm",
            found=f"{unit}",
            remedy="convert the affine and xyzt_units to mm",
        )


def check_affine(affine: Array) -> None:
    """Refuse an affine `(4, 4)` that is not finite or does not span space."""
    spacing = nib.affines.voxel_sizes(affine)
    if not np.isfinite(affine).all():
        problem = "values that are not finite"
    elif (spacing <= 0).any() or abs(np.linalg.det(affine[:3, :3] / spacing)) < _FLAT:
        problem = f"one that is singular: {affine[:3, :3].round(4).tolist()}"
    else:
        return
    raise BadCase(
        expected="an affine that maps voxels to positions in mm",
        found=problem,
        remedy="correct the header (of NIfTI: sform and qform) or export the scan again",
    )


def check_rotation(header: nib.Nifti1Header) -> None:
    """Refuse a header without sform whose qform cannot be read: nothing says where voxels lie."""
    if header["qform_code"] and not header["sform_code"] and coded_qform(header)[0] is None:
        squares = sum(float(header[f"quatern_{name}"]) ** 2 for name in "bcd")
        raise BadCase(
            expected="a qform whose quatern_b² + quatern_c² + quatern_d² is 1 at most, or an sform",
            found=f"{squares:.7g}",
            remedy="write the file again by SimpleITK (ReadImage, WriteImage), which takes the "
            "nearest rotation, or export it again",
        )


def check_forms(header: nib.Nifti1Header, shape: tuple[int, ...], tolerance: float) -> None:
    """Refuse an sform and a qform, both valid, that place the volume differently.

    A qform that cannot be read says nothing beside an sform.

    Args:
        header: Of the volume.
        shape: Of the volume.
        tolerance: Largest distance of the corners, as a fraction of the smallest voxel spacing;
            what float32 cannot tell apart comes on top.
    """
    sform, sform_code = header.get_sform(coded=True)
    qform, _ = coded_qform(header)
    if not sform_code or qform is None:
        return
    distance = corner_distance(sform, qform, shape)
    allowed = _allowed(sform, shape, tolerance) + _turning_error(header, sform, shape)
    if not distance <= allowed:  # a NaN in either form is refused as well
        raise BadCase(
            expected=f"sform and qform that agree within {allowed:.3g} mm",
            found=f"corners {distance:.3g} mm apart",
            remedy="find out which one is right and set the other to it (or its code to 0)",
        )


def _allowed(affine: Array, shape: tuple[int, ...], tolerance: float) -> float:
    """Distance in mm of a tolerance in voxels, with what float32 cannot tell apart."""
    spacing = float(nib.affines.voxel_sizes(affine).min())
    return tolerance * spacing + placing_error(affine, shape)


def _turning_error(header: nib.Nifti1Header, affine: Array, shape: tuple[int, ...]) -> float:
    """Error of a qform's corners, mm: near half a turn, its three float32 numbers lose digits."""
    squares: float = sum(float(header[f"quatern_{name}"]) ** 2 for name in "bcd")
    real = float(np.sqrt(max(0.0, 1 - squares)))
    eps = float(np.finfo(np.float32).eps)
    angle = 2 * min(float(np.sqrt(3 * eps)), 3 * eps / max(real, eps))
    return angle * float(np.linalg.norm(nib.affines.voxel_sizes(affine) * shape[:3]))


def check_place(volume: Volume, tolerance: float) -> None:
    """Refuse a volume of which the header does not say one place; `tolerance` of `check_forms`."""
    check_affine(volume.affine)
    check_forms(volume.header, volume.stored.shape, tolerance)


def check_slices(volume: Volume, name: AxisName) -> None:
    """Refuse a volume without an interval: fewer than 2 slices along the through-plane axis.

    Raises:
        OneSlice: Where others are imputed, such a case is left aside.
    """
    axis = through_plane_axis(volume.affine, name)
    count = volume.stored.shape[axis]
    if count < 2:
        raise OneSlice(
            expected=f"2 slices or more along the through-plane axis ({name}: array axis {axis})",
            found=f"{count}",
            remedy="leave the case out; a Kedro run takes the axis across slices: --params axis=S",
        )


def check_same_grid(image: Volume, label: Volume, tolerance: float) -> None:
    """Refuse a label map whose shape or place in the world is not that of the image.

    Args:
        image: The scan.
        label: Its label map.
        tolerance: As in `check_forms`.
    """
    shape, label_shape = image.stored.shape[:3], label.stored.shape
    distance = corner_distance(image.affine, label.affine, shape)
    allowed = _allowed(image.affine, shape, tolerance) + sum(
        _turning_error(volume.header, image.affine, shape)
        for volume in (image, label)
        if not volume.header["sform_code"]
    )
    if shape != label_shape:
        problem = f"shape {_times(label_shape)} where the image has {_times(shape)}"
    elif distance > allowed:
        problem = f"the same shape with corners {distance:.3g} mm apart"
        if not _overlap(image, label):
            problem += ", not even overlapping"
    else:
        return
    raise BadCase(
        expected=f"a label map on the grid of the image (within {allowed:.3g} mm)",
        found=problem,
        remedy="resample the label to the image (nearest neighbour), or pair the right files",
    )


def corner_distance(one: Array, other: Array, shape: tuple[int, ...]) -> float:
    """Largest distance between the corners of a grid under two affines, mm.

    Example:
        >>> moved = np.eye(4)
        >>> moved[:3, 3] = 3, 4, 0
        >>> corner_distance(np.eye(4), moved, (10, 10, 10))
        5.0
    """
    offset = _corners(one, shape) - _corners(other, shape)
    return float(np.linalg.norm(offset, axis=1).max())


def _corners(affine: Array, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """World positions of the outer corners of the corner voxels, `(8, 3)`, mm."""
    edges = product(*[(-0.5, size - 0.5) for size in shape[:3]])
    corners: NDArray[np.float64] = nib.affines.apply_affine(affine, np.array(list(edges)))
    return corners


def _overlap(one: Volume, other: Volume) -> bool:
    boxes = [_corners(volume.affine, volume.stored.shape) for volume in (one, other)]
    low = np.max([box.min(axis=0) for box in boxes], axis=0)
    high = np.min([box.max(axis=0) for box in boxes], axis=0)
    return bool((low < high).all())


def _times(values: tuple[int, ...] | list[float]) -> str:
    return "x".join(f"{value:g}" for value in values)


class BadCase(ValueError):  # noqa: N818 - it names a case, not a slip of ours
    """A case that must not be used.

    Attributes:
        expected: What a good case has.
        found: What this one has.
        remedy: What to do about it.
        case: Case id.
        file: The file or folder at fault, if it is known.

    Example:
        >>> print(BadCase("two slices or more", "one", "leave the case out", case="c1"))
        c1: expected two slices or more, found one; leave the case out
    """

    def __init__(
        self, expected: str, found: str, remedy: str, case: str = "", file: Path | None = None
    ) -> None:
        super().__init__(expected, found, remedy, case, file)
        # Messages of other libraries may have several lines; a report has one per fault.
        self.expected, self.found, self.remedy = (
            printable(" ".join(text.split())) for text in (expected, found, remedy)
        )
        self.case = case
        self.file = file

    def __str__(self) -> str:
        return f"{self.case}: {self.told}" if self.case else self.told

    @property
    def told(self) -> str:
        """What is wrong and what to do, with the file's name where it is not that of the case."""
        name = printable(self.file.name) if self.file else ""
        told = f"expected {self.expected}, found {self.found}; {self.remedy}"
        return f"{name}: {told}" if name not in ("", self.case) else told


class OneSlice(BadCase):
    """A case of one slice, such as a localizer: there is nothing between slices.

    Beside cases that can be used it is left aside, which is no failure.
    """


def printable(name: str) -> str:
    """Return a name as text that can be written as UTF-8: bytes of other encodings become `�`."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


@contextmanager
def about(case: str, file: Path | None = None) -> Iterator[None]:
    """Write the case and the file into a `BadCase` that does not name them yet."""
    try:
        yield
    except BadCase as error:
        error.case = error.case or case
        error.file = error.file or file
        raise


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Turn whatever another library raises on a damaged file into a `BadCase`."""
    try:
        yield
    except BadCase:
        raise
    # Parsers read arbitrary bytes here; what they raise then is not part of their interface.
    except Exception as error:
        denied = isinstance(error, PermissionError)
        raise BadCase(
            expected=f"a whole and readable {kind}",
            found=f"{type(error).__name__}: {error}",
            remedy="check its permissions" if denied else "copy or export the file again",
        ) from error
