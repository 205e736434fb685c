"""A case as a segmentation network sees it: acquired slices, synthetic ones between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first, spacing_slices_first, through_plane_axis
from slicefill.imputation.stacks import stack_case
from slicefill.params import AugmentationParams
from slicefill.types import Case, Floats, Lazy, Promise


@dataclass(frozen=True, eq=False)
class Scan:
    """A case ready for a network, slices first.

    Attributes:
        image: Intensities in [0, 1], `(D, C, H, W)`.
        label: Class ids, 0 where unknown, `(D, H, W)`, int64.
        weight: Loss weight of every voxel, 0 where the label is unknown, `(D, H, W)`.
        acquired: Which slices were acquired, `(D,)`.
        spacing: Slice, row and column pitch, mm, `(3,)`.
        axis: The array axis of the case along which the slices lie.
    """

    image: Floats
    label: NDArray[np.int64]
    weight: Floats
    acquired: NDArray[np.bool_]
    spacing: NDArray[np.float64]
    axis: int


ScanPromise = Lazy[Scan]


@dataclass(frozen=True)
class ScanSet:
    """The scans of one compared method, by case.

    Attributes:
        engine: What segments them.
        transforms: Whether conventional augmentation varies what is learned from.
        training: What is learned from.
        validation: Cases of other subjects that choose the best epoch.
        test: Cases that take no part in either.
        grids: The case on whose grid each test scan lies.
    """

    engine: str
    transforms: bool
    training: Mapping[str, ScanPromise]
    validation: Mapping[str, ScanPromise]
    test: Mapping[str, ScanPromise]
    grids: Mapping[str, Promise]


def make_scan(
    acquired_case: Case,
    imputed: Case | None,
    slice_weights: Sequence[float] | None,
    params: AugmentationParams,
) -> Scan:
    """Put acquired labels, synthetic labels and loss weights on the grid of an imputed case.

    Args:
        acquired_case: The acquired slices with their label map, if there is one.
        imputed: The same case imputed, or None to use acquired slices alone. Without a label map
            of its own only its acquired slices are labelled.
        slice_weights: Loss weight per slice of the result, `(D,)`; None gives every labelled
            slice 1.
        params: Through-plane axis, confidence threshold, and which intensities of the acquired
            slices become 0 and 1.

    Raises:
        ValueError: If there is not one weight per slice.
    """
    axis = through_plane_axis(acquired_case.image.affine, params.through_plane)
    window = stack_case(acquired_case, axis, params.window).window  # the same for every method
    source = acquired_case if imputed is None else imputed
    stack = stack_case(source, axis, params.window)
    image = replace(stack, window=window).normalised()
    step = 1 if imputed is None else int(imputed.record["count"]) + 1
    label = np.zeros((len(image), *image.shape[2:]), np.int64)
    weight = np.zeros(label.shape, np.float32)
    if imputed is not None and imputed.label is not None:
        label[:] = slices_first(imputed.label.stored, axis)
        confidence = slices_first(imputed.maps["confidence"].intensities(), axis)
        weight[:] = confidence >= params.confidence_threshold
    if acquired_case.label is not None:
        label[::step] = slices_first(acquired_case.label.stored, axis)
        weight[::step] = 1
    if slice_weights is not None:
        if len(slice_weights) != len(image):
            msg = f"expected a weight for each of {len(image)} slices, got {len(slice_weights)}"
            raise ValueError(msg)
        weight *= np.asarray(slice_weights, np.float32)[:, None, None]
    spacing = spacing_slices_first(source.image.spacing, axis)
    return Scan(image, label, weight, np.arange(len(image)) % step == 0, spacing, axis)
