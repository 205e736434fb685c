"""Views made ready for fusion: registered, judged, imputed onto cubic voxels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from slicefill.grids.cubic import find_body, first_channel
from slicefill.grids.sampled import AlignedView
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer
from slicefill.imputation.trace import acquired_places
from slicefill.params import ImputationParams
from slicefill.params.fusion import FusionParams
from slicefill.registration import displacement_error
from slicefill.simulation.views import TRUTH
from slicefill.types import Array, Case, Checkpoint, Finding, Volume
from slicefill.views.alignment import Alignment, align

_POINTS = 5000  # at which an error is measured


@dataclass(frozen=True, eq=False)
class Registered:
    """Where the views of a subject lie.

    Attributes:
        reference: Name of the first view.
        alignments: Of the others, by name.
        left_out: Why views could not be registered, by name.
    """

    reference: str
    alignments: Mapping[str, Alignment]
    left_out: Mapping[str, str]

    def finding(self, views: Mapping[str, Case]) -> Finding:
        """Return it as plain values, with the error of simulated views.

        `errors_mm`: the mean distance in the reference's body from where a view truly lies.
        """
        told = {name: vars(each) for name, each in self.alignments.items()}
        points = body_points(views[self.reference].image)
        truth = {name: view.record[TRUTH] for name, view in views.items() if TRUTH in view.record}
        errors = {
            name: displacement_error(
                each.matrix, truth[name] @ np.linalg.inv(truth[self.reference]), points
            )
            for name, each in self.alignments.items()
            if {name, self.reference} <= truth.keys()
        }
        return Finding({
            "reference": self.reference,
            "alignments": told,
            "left_out": dict(self.left_out),
            "errors_mm": errors,
        })  # fmt: skip

    @classmethod
    def found(cls, finding: Finding) -> "Registered":
        """Return what `finding` holds."""
        told = finding.record
        alignments = {
            name: Alignment(**{**each, "matrix": np.asarray(each["matrix"])})
            for name, each in told["alignments"].items()
        }
        return cls(told["reference"], alignments, told["left_out"])


@dataclass(frozen=True, eq=False)
class Gathered:
    """The views that can be fused.

    Attributes:
        views: Aligned, on cubic voxels; the first is the reference.
        alignments: Of the others, by name.
        left_out: Why other views are not used at all, by name.
    """

    views: list[AlignedView]
    alignments: Mapping[str, Alignment]
    left_out: Mapping[str, str]


def body_points(image: Volume) -> Array:
    """Positions of some voxels of the body, mm, `(n, 3)`."""
    inside = np.argwhere(find_body(first_channel(image)))
    return np.asarray(
        nib.affines.apply_affine(image.affine, inside[:: max(1, len(inside) // _POINTS)])
    )


def register_views(
    views: Mapping[str, Case], entry: dict[str, Any], model: Checkpoint | None = None
) -> Registered:
    """Register every view to the first one.

    Args:
        views: By name.
        entry: Of `registration`: its kind and fields of its `Params`.
        model: Of a kind that learns: what its training returned.

    Raises:
        ValueError: If there is no view.
    """
    if not views:
        msg = "fusion: expected at least one view, got none"
        raise ValueError(msg)
    reference, *others = views
    alignments, left_out = {}, {}
    for name in others:
        try:
            alignments[name] = align(views[reference], views[name], entry, model)
        except ValueError as error:
            left_out[name] = str(error)
    return Registered(reference, alignments, left_out)


def gather_views(
    views: Mapping[str, Case],
    registered: Registered,
    imputer: Imputer,
    imputation: ImputationParams,
    params: FusionParams,
) -> Gathered:
    """Impute the views whose registration can be believed.

    Args:
        views: By name; those that were registered, or fewer of them, the reference among them.
        registered: Where they lie.
        imputer: Synthesises the slices between those of every view.
        imputation: Its parameters.
        params: Limits of what can be believed.

    Raises:
        ValueError: If a view that stays cannot be imputed.
    """
    alignments, left_out = {}, {k: v for k, v in registered.left_out.items() if k in views}
    for name, found in registered.alignments.items():
        if name not in views:
            continue
        if reason := _unbelievable(found, params):
            left_out[name] = reason
        else:
            alignments[name] = found
    matrices = {registered.reference: np.eye(4)}
    matrices |= {name: found.matrix for name, found in alignments.items()}
    gathered = [
        impute_view(name, views[name], matrix, imputer, imputation)
        for name, matrix in matrices.items()
    ]
    return Gathered(gathered, alignments, left_out)


def impute_view(
    name: str, view: Case, matrix: Any, imputer: Imputer, imputation: ImputationParams
) -> AlignedView:
    """Impute a view that lies where a matrix from the reference's world says.

    Raises:
        ValueError: If it cannot be imputed, or it has a label that the method cannot impute.
    """
    imputed = impute_case(view, imputer, imputation)
    if view.label is not None and imputed.label is None:
        msg = (
            f"{name}: method {imputer.name} imputes no labels; choose another, such as "
            "pretrained or nearest"
        )
        raise ValueError(msg)
    told = imputed.record
    acquired = sorted(acquired_places(told["slices"]))
    return AlignedView(name, imputed, told["axis"], told["count"] + 1, acquired, matrix)


def refuse_exact(imputation: ImputationParams) -> None:
    """Refuse grids on which acquired slices need not fall: fused views keep those of the first.

    Raises:
        ValueError: If the grid asked for is such a one.
    """
    if imputation.exact:
        msg = (
            "imputation.exact: expected false where views are fused, as the result keeps the "
            "acquired slices of the first view, got true: leave exact out; then the "
            "spacing nearest to target_spacing that keeps them is taken"
        )
        raise ValueError(msg)


def _unbelievable(found: Alignment, params: FusionParams) -> str:
    """Say why an alignment cannot be believed; empty where it can."""
    if found.overlap < params.least_overlap:
        return (
            f"{found.overlap:.0%} of the reference lies inside it, less than "
            f"{params.least_overlap:.0%} (least_overlap)"
        )
    if found.similarity < params.least_similarity:
        return (
            f"registration failed, or another contrast: its similarity to the reference is "
            f"{found.similarity:.2f}, below {params.least_similarity:g} (least_similarity); of "
            "another contrast, register by rigid with the metric mutual_information"
        )
    if found.crossing is not None and found.crossing < params.least_crossing:
        return (
            f"registration failed, or another subject: where its acquired slices cross those of "
            f"the reference, intensities correlate by {found.crossing:.2f}, below "
            f"{params.least_crossing:g} (least_crossing)"
        )
    return ""
