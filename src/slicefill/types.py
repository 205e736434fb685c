"""The nouns of the library: a volume, a case, a stack of slices, an imputation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]
CONFIDENCE_STEPS = 10_000
"""Of a stored confidence, from 0 to 1: CT errs by a hundredth, which thousandths would not tell
apart."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan or a label map exactly as its file stores it.

    Attributes:
        stored: The numbers in the file, before slope and intercept, in stored orientation
            and byte order: `(I, J, K)`, or `(I, J, K, C)` with channels last.
        header: NIfTI header; holds the geometry (mm), the intensity slope and intercept and
            the units. Never modified in place.
    """

    stored: Array
    header: nib.Nifti1Header

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel index to world position, `(4, 4)`, mm."""
        return np.asarray(self.header.get_best_affine(), dtype=np.float64)

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Voxel pitch along the three array axes, `(3,)`, mm."""
        return np.asarray(nib.affines.voxel_sizes(self.affine), dtype=np.float64)

    @property
    def slope_intercept(self) -> tuple[float, float]:
        """Slope and intercept from stored numbers to intensities; (1, 0) when none is set."""
        slope, intercept = self.header.get_slope_inter()
        return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)

    def intensities(self) -> Floats:
        """Intensities in the unit of the scan (HU for CT): slope × stored + intercept."""
        slope, intercept = self.slope_intercept
        values = self.stored.astype(np.float32)
        values *= np.float32(slope)
        values += np.float32(intercept)
        return values

    def with_stored(
        self,
        stored: Array,
        index_map: Array | None = None,
        slope_intercept: tuple[float, float] | None = None,
    ) -> "Volume":
        """Return a volume with other numbers in the same world.

        Args:
            stored: The new numbers; their dtype and shape go into the header.
            index_map: `(4, 4)` from new voxel indices to the indices of this volume;
                identity when omitted. Applied to sform and qform alike.
            slope_intercept: From the new numbers to intensities; as in this volume if omitted.
        """
        header = self.header.copy()
        header.set_data_shape(stored.shape)
        header.set_data_dtype(stored.dtype)
        header.set_slope_inter(*(slope_intercept or self.slope_intercept))
        if slope_intercept is not None:
            header["cal_min"] = header["cal_max"] = 0  # the display range of other intensities
        if index_map is not None:
            for name in ("slice_start", "slice_end", "slice_code", "slice_duration"):
                header[name] = 0  # they describe the acquisition of other slices
            sform, sform_code = header.get_sform(coded=True)
            qform, qform_code = coded_qform(header)
            rigid = self.affine if qform is None else qform  # code 0 still carries the pixdims
            header.set_qform(rigid @ index_map, qform_code, strip_shears=True)
            if sform_code:
                header.set_sform(sform @ index_map, int(sform_code))
            elif not qform_code:  # without a code the world would hang on the shape
                header.set_sform(self.affine @ index_map, code=2)
        return Volume(stored, header)


def coded_qform(header: nib.Nifti1Header) -> tuple[NDArray[np.float64] | None, int]:
    """Return a header's qform and its code; None and 0 where it is not coded or cannot be read.

    The squares of a quaternion's three stored numbers may sum to more than 1 after rounding.
    """
    try:
        qform, code = header.get_qform(coded=True)
    except ValueError:
        return None, 0
    return qform, int(code)


@dataclass(frozen=True, eq=False)
class Case:
    """One subject: what a case folder on disk holds.

    Attributes:
        image: The scan.
        label: Its label map on the same grid, if there is one.
        maps: Further volumes on the grid of the image, by file stem (`synthetic_mask`,
            `confidence`).
        record: How the case came about (plain values; written as `record.json`).
    """

    image: Volume
    label: Volume | None = None
    maps: Mapping[str, Volume] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    ACROSS: ClassVar[int] = 2
    """Array axis across the slices of a DICOM series."""

    @property
    def absent(self) -> tuple[int, ...]:
        """Slices of a DICOM series that no file holds, by index along the last of three axes.

        What the volumes hold there was not acquired.
        """
        return tuple(self.record.get("absent_slices", ()))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a segmentation network says of one case.

    Attributes:
        label: Predicted class ids, on the grid that was segmented, `(I, J, K)`.
        softmax: Class probabilities, background first, `(I, J, K, classes)`, float32 in [0, 1];
            None where they are not kept.
        record: How the prediction came about (plain values; written as `record.json`).
        confidence: Probability of the label, `(I, J, K)`, in [0, 1]; None where it is not kept.
    """

    label: Volume
    softmax: Volume | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    confidence: Volume | None = None


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found out about a case, without volumes.

    Attributes:
        record: Plain values; written as `record.json`.
    """

    record: Mapping[str, Any]


T = TypeVar("T")


@dataclass(frozen=True)
class Lazy(Generic[T]):
    """A result that is computed when it is saved, unless it is on disk already.

    Attributes:
        make: Computes it.
        fingerprint: Digest of all that determines it (inputs, parameters, model). What lies on
            disk with the same fingerprint is not made again.
        record: Reads the record of what lies on disk, without its volumes; None where there is
            no such short cut.
    """

    make: Callable[[], T]
    fingerprint: str
    record: Callable[[], Mapping[str, Any]] | None = None


def read_record(promise: "Lazy[Any]") -> Mapping[str, Any]:
    """Return the record of a case or prediction, without its volumes where that is possible."""
    record: Mapping[str, Any] = promise.record() if promise.record else promise.make().record
    return record


Checkpoint = dict[str, Any]
"""Tensors and plain values."""

Promise = Lazy[Case]
ModelPromise = Lazy[Checkpoint]
Models = dict[str, Callable[[], Checkpoint]]
"""A reader per trained model, by name."""


@dataclass(frozen=True, eq=False)
class Stack:
    """The slices of a volume, through-plane axis in front.

    Attributes:
        image: Intensities, `(D, C, H, W)`: however a file stores them, a method sees the same.
        window: The intensities that map to 0 and to 1 for a network, per channel, `(C, 2)`.
        label: Label ids, `(D, H, W)`, or None.
        padding: The values of each channel that mark where nothing was scanned; `image` has none
            of them.
        label_share: How far a model may depart from labels by shape alone, in [0, 1]
            (`imputation.label_choice`).
        apart: Distance of the slices in pixels: from row to row (H), from column to column (W);
            None: not known.
        at: Where the slices lie along their axis, D rising numbers; None: evenly spaced.
    """

    image: Floats
    window: NDArray[np.float64]
    label: Array | None = None
    padding: tuple[tuple[float, ...], ...] = ()
    label_share: float = 1.0
    apart: tuple[float, float] | None = None
    at: NDArray[np.float64] | None = None

    def placed(self, at: Sequence[int]) -> "Stack":
        """Return the stack with its slices where they lie, in steps of what `apart` counted.

        `apart` becomes that of a typical interval, the median.
        """
        steps = np.diff(at)
        typical = float(np.median(steps))
        apart = self.apart and (typical * self.apart[0], typical * self.apart[1])
        even = bool((steps == steps[0]).all())
        return replace(self, apart=apart, at=None if even else np.asarray(at, dtype=np.float64))

    def part(self, slices: slice) -> "Stack":
        """View slices in a row as a stack."""
        label = None if self.label is None else self.label[slices]
        at = None if self.at is None else self.at[slices]
        return replace(self, image=self.image[slices], label=label, at=at)

    def normalised(self) -> Floats:
        """Slices clipped to [0, 1], `(D, C, H, W)`, for networks; never written out."""
        low = self.window[:, 0, None, None].astype(np.float32)
        width = (self.window[:, 1] - self.window[:, 0])[:, None, None].astype(np.float32)
        shown: Floats = np.subtract(self.image, low, dtype=np.float32)
        shown /= width
        return np.clip(shown, 0, 1, out=shown)


@dataclass(frozen=True, eq=False)
class SyntheticSlices:
    """The synthetic slices of every interval of a stack; D - 1 intervals, N slices in each.

    Attributes:
        image: Intensities, not yet rounded to what can be stored, `(D - 1, N, C, H, W)`.
        confidence: In [0, 1], `(D - 1, N, H, W)`; `measure` says of what.
        label: Label ids, `(D - 1, N, H, W)`, or None.
        acquired: The acquired slices as the method changed them, intensities, `(D, C, H, W)`;
            None: left as they are.
        measure: What confidence is: `agreement` of the two neighbours' predictions, or 1 minus the
            `expected_error`, a share of the window's width.
        error: Absolute error that the model itself predicts, not calibrated, in [0, 1] units,
            `(D - 1, N, H, W)`; None where it predicts none.
        abstained: Where a classical method was believed instead, bool, `(D - 1, N, H, W)`; None
            where the method is not able to abstain.
        samples: Further samples of the image, each like `image`, of a method that draws several;
            `image` is then the one to show (the first, or their mean).
        sample_labels: The label of every sample, each like `label`; none where labels are not
            sampled.
        spread: Standard deviation of what the slice may be, a share of the window's width,
            `(D - 1, N, H, W)`; None where the method does not say.
        counts: How many slices every interval has where that differs, `(D - 1,)`: their sum and 1
            then stand for D - 1 and N. None: N each, as a method imputes them.
    """

    image: Floats
    confidence: Floats
    label: Array | None = None
    acquired: Floats | None = None
    measure: Literal["agreement", "expected_error"] = "agreement"
    error: Floats | None = None
    abstained: NDArray[np.bool_] | None = None
    samples: Sequence[Floats] = ()
    sample_labels: Sequence[Array] = ()
    spread: Floats | None = None
    counts: NDArray[np.int64] | None = None


Method = Callable[[Stack, Sequence[float], np.random.Generator], SyntheticSlices]
"""Imputes every interval of a stack at the positions t in (0, 1) given.

The generator is for methods that draw samples; others leave it alone.
"""
