"""A case as a segmentation network sees it: acquired slices, synthetic ones between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first, spacing_slices_first, through_plane_axis
from slicefill.imputation.dense_grid import channels_second, stack_case
from slicefill.imputation.trace import acquired_places
from slicefill.params import AugmentationParams, ScanParams
from slicefill.params.segmentation import LesionSampling
from slicefill.types import Case, Floats, Lazy, Promise

_ROUNDING = 1e-6  # of confidence in float32, far less than a step of the map


@dataclass(frozen=True, eq=False)
class Scan:
    """A case ready for a network, slices first.

    Attributes:
        image: Intensities in [0, 1], or as they are where nothing is windowed, `(D, C, H, W)`.
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
        network: The method under whose name its networks are trained: methods that learn from the
            same share them.
        row: Of the table: networks of several sets may stand in one row.
        seeds: Of the networks that see these scans; empty: of all.
        add_transforms: Of training patches, before the usual ones.
        lesions: How patches are drawn for small objects; None: as usual.
        steps: Of their training, as a multiple of the usual ones.
        synthetic_fraction: Share of synthetic slices drawn in 2D; None: the usual one.
        subject: Of each training case, where networks learn from some of the subjects.
        subjects: How many of them a network learns from; None: all.
    """

    engine: str
    transforms: bool
    training: Mapping[str, ScanPromise]
    validation: Mapping[str, ScanPromise]
    test: Mapping[str, ScanPromise]
    grids: Mapping[str, Promise]
    network: str
    row: str = ""
    seeds: tuple[int, ...] = ()
    add_transforms: tuple[dict[str, Any], ...] = ()
    lesions: LesionSampling | None = None
    steps: float = 1.0
    synthetic_fraction: float | None = None
    subject: Mapping[str, str] = field(default_factory=dict)
    subjects: int | None = None

    def repetition(self, method: str) -> str:
        """Return what the name of a repeated method has after that of its row, or nothing."""
        return method.removeprefix(self.row) if self.row else ""

    def drawn(self, seed: int) -> dict[str, ScanPromise]:
        """Return the training scans of a network: those of its subjects, drawn by its seed.

        More subjects contain those that fewer would be, and all methods see the same.

        Raises:
            ValueError: If there are fewer subjects.
        """
        names = sorted({self.subject[case] for case in self.training if self.subjects})
        if self.subjects is None:
            return dict(self.training)
        if len(names) < self.subjects:
            msg = (
                f"comparison.presets: expected at least {self.subjects} training subjects "
                f"(subjects), got {len(names)}: lower subjects, or give more scans"
            )
            raise ValueError(msg)
        order = np.random.default_rng(seed).permutation(len(names))
        chosen = {names[place] for place in order[: self.subjects]}
        return {case: own for case, own in self.training.items() if self.subject[case] in chosen}


def make_scan(
    acquired_case: Case,
    imputed: Case | None,
    slice_weights: Sequence[float] | None,
    params: ScanParams,
    sample: int = 0,
) -> Scan:
    """Put acquired labels, synthetic labels and loss weights on the grid of an imputed case.

    Of an exact grid these are the acquired slices that fall on it; the others are not there.

    Args:
        acquired_case: The acquired slices with their label map, if there is one.
        imputed: The same case imputed, or None to use acquired slices alone. Without a label map
            of its own only its acquired slices are labelled.
        slice_weights: Loss weight per slice of the result, `(D,)`; None gives every labelled
            slice 1.
        params: Through-plane axis, confidence threshold, and which intensities of the acquired
            slices become 0 and 1.
        sample: Which sample of the imputed case is seen in its place, from 1; 0: none.

    Raises:
        ValueError: If there is not one weight per slice.
    """
    axis = through_plane_axis(acquired_case.image.affine, params.through_plane)
    if imputed is not None and sample:
        maps = imputed.maps
        sample_label = maps.get(f"sample_label_{sample}", imputed.label)
        imputed = replace(imputed, image=maps[f"sample_{sample}"], label=sample_label)
    source = acquired_case if imputed is None else imputed
    image = _shown(acquired_case, source, axis, params)
    places = _acquired_places(acquired_case, imputed, axis)
    label = np.zeros((len(image), *image.shape[2:]), np.int64)
    weight = np.zeros(label.shape, np.float32)
    if imputed is not None and imputed.label is not None:
        label[:] = slices_first(imputed.label.stored, axis)
        confidence = slices_first(imputed.maps["confidence"].intensities(), axis)
        weight[:] = confidence >= params.confidence_threshold - _ROUNDING
    if acquired_case.label is not None:
        own = slices_first(acquired_case.label.stored, axis)
        for place, slice_there in places.items():
            label[place], weight[place] = own[slice_there], 1
    if slice_weights is not None:
        if len(slice_weights) != len(image):
            msg = f"expected a weight for each of {len(image)} slices, got {len(slice_weights)}"
            raise ValueError(msg)
        weight *= np.asarray(slice_weights, np.float32)[:, None, None]
    spacing = spacing_slices_first(source.image.spacing, axis)
    acquired = np.isin(np.arange(len(image)), [*places])
    return Scan(image, label, weight, acquired, spacing, axis)


def _shown(acquired_case: Case, source: Case, axis: int, params: ScanParams) -> Floats:
    """Return what a network sees of a case, `(D, C, H, W)`."""
    if params.window is None:
        return channels_second(source.image, axis)
    window = stack_case(acquired_case, axis, params.window).window  # the same for every method
    return replace(stack_case(source, axis, params.window), window=window).normalised()


def describe_slices(
    acquired_case: Case, imputed: Case | None, params: AugmentationParams
) -> list[dict[str, Any]]:
    """Describe the slices of a case, acquired and synthetic.

    Args:
        acquired_case: The acquired slices with their label map, if there is one.
        imputed: The same case imputed, or None for acquired slices alone.
        params: Through-plane axis, and the loss weight of labelled synthetic slices.

    Returns:
        Per slice: `slice` (index), `acquired`, `labelled`, `confidence` (mean over the slice;
        acquired slices 1) and `weight`, which is 1 for acquired slices and 0 for all without a
        label.
    """
    axis = through_plane_axis(acquired_case.image.affine, params.through_plane)
    places = _acquired_places(acquired_case, imputed, axis)
    if imputed is None:
        confidence = np.ones(len(places))
    else:
        confidence = slices_first(imputed.maps["confidence"].intensities(), axis).mean(axis=(1, 2))
    rows = []
    for k, confident in enumerate(confidence):
        acquired = k in places
        source = acquired_case if acquired else imputed
        labelled = source is not None and source.label is not None
        weight = (1.0 if acquired else params.synthetic_weight) if labelled else 0.0
        row = {"slice": k, "acquired": acquired, "labelled": labelled}
        rows.append({**row, "confidence": float(confident), "weight": weight})
    return rows


def _acquired_places(acquired_case: Case, imputed: Case | None, axis: int) -> dict[int, int]:
    """Index of every acquired slice in the case, by its place on the grid that is seen."""
    if imputed is None:
        return {k: k for k in range(acquired_case.image.stored.shape[axis])}
    return acquired_places(imputed.record["slices"])
