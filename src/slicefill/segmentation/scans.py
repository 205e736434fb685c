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
        validation: Cases of other persons that choose the best epoch.
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
    thick: Case,
    filled: Case | None,
    slice_weights: Sequence[float] | None,
    params: AugmentationParams,
) -> Scan:
    """Put acquired labels, synthetic labels and loss weights on the grid of a filled case.

    Args:
        thick: The acquired slices with their label map, if there is one.
        filled: The same case filled, or None to use acquired slices alone. Without a label map
            of its own only its acquired slices are labelled.
        slice_weights: Loss weight per slice of the result, `(D,)`; None gives every labelled
            slice 1.
        params: Through-plane axis, trust threshold, and which intensities of the acquired slices
            become 0 and 1.

    Raises:
        ValueError: If there is not one weight per slice.
    """
    axis = through_plane_axis(thick.image.affine, params.through_plane)
    window = stack_case(thick, axis, params.window).window  # the same for every method
    source = thick if filled is None else filled
    stack = stack_case(source, axis, params.window)
    image = replace(stack, window=window).normalised()
    step = 1 if filled is None else int(filled.record["count"]) + 1
    label = np.zeros((len(image), *image.shape[2:]), np.int64)
    weight = np.zeros(label.shape, np.float32)
    if filled is not None and filled.label is not None:
        label[:] = slices_first(filled.label.stored, axis)
        trust = slices_first(filled.maps["trust"].intensities(), axis)
        weight[:] = trust >= params.trust_threshold
    if thick.label is not None:
        label[::step] = slices_first(thick.label.stored, axis)
        weight[::step] = 1
    if slice_weights is not None:
        if len(slice_weights) != len(image):
            msg = f"expected a weight for each of {len(image)} slices, got {len(slice_weights)}"
            raise ValueError(msg)
        weight *= np.asarray(slice_weights, np.float32)[:, None, None]
    spacing = spacing_slices_first(source.image.spacing, axis)
    return Scan(image, label, weight, np.arange(len(image)) % step == 0, spacing, axis)
