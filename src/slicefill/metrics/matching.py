"""Scores of an imputed volume against the truth where no record says which slices are synthetic."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_first
from slicefill.metrics.real_channels import Indices
from slicefill.metrics.scoring import Correspondence, score_imputed_case
from slicefill.params import ScoreParams
from slicefill.types import Array, Case

_TOLERANCE = 1e-3  # of the spacing


def score_against_truth(
    imputed: Case, truth: Case, label_names: Mapping[int, str] | None = None
) -> dict[str, float]:
    """Score the synthetic slices of a case.

    Args:
        imputed: On the grid of the truth; it may end earlier along its slices.
        truth: The dense case.
        label_names: Id → name of the labels that are scored; all ids by number if omitted.

    Returns:
        As `score_imputed_case`.

    Raises:
        ValueError: If the grids differ, or no slice is synthetic.
    """
    slices = match_slices(imputed, truth)
    if label_names is None:
        ids = [] if truth.label is None else np.unique(truth.label.stored).tolist()
        label_names = {int(each): str(int(each)) for each in ids}
    params = ScoreParams(label_names=dict(label_names))
    return score_imputed_case(imputed, truth, slices, params)


def match_slices(imputed: Case, truth: Case) -> Correspondence:
    """Find the axis across slices, and which slices are synthetic.

    Acquired slices are in an imputed volume to the bit, so the axis is the one along which some
    slices agree with the truth and others do not. Those others are synthetic. A slice of background
    agrees however it was made: it is synthetic off the coarsest even lattice through the acquired
    slices that show more than background.

    Raises:
        ValueError: If the grids differ, or no slice is synthetic, or none is acquired.
    """
    _check_grid(imputed, truth)
    found, real = imputed.image.intensities(), truth.image.intensities()
    common = np.minimum(found.shape[:3], real.shape[:3])
    box = tuple(slice(size) for size in common)
    differs = found[box] != real[box]
    synthetic = [_any_across(differs, axis) for axis in range(3)]
    acquired = [
        ~synthetic[axis] & _any_across(real[box] != real[box].min(), axis) for axis in range(3)
    ]
    mixed = [axis for axis in range(3) if synthetic[axis].any() and acquired[axis].any()]
    if not mixed:
        what = "every slice" if differs.any() else "no slice"
        msg = (
            f"expected a volume in which some slices are those of the truth and others are "
            f"synthetic, got one in which {what} differs; score against the dense scan whose "
            "slices were removed"
        )
        raise ValueError(msg)
    axis = max(mixed, key=lambda one: np.count_nonzero(acquired[one]))
    indices = np.arange(common[axis])
    between = _off_lattice(indices, np.flatnonzero(acquired[axis]))
    return Correspondence(axis, indices, indices, synthetic[axis] | between)


def _off_lattice(indices: Indices, acquired: Indices) -> NDArray[np.bool_]:
    """Where indices lie off the coarsest even lattice through those given; nowhere for just one."""
    step = max(1, int(np.gcd.reduce(np.diff(acquired))))
    return np.asarray((indices - acquired[0]) % step > 0)


def _any_across(differs: Array, axis: int) -> NDArray[np.bool_]:
    slices = slices_first(differs, axis)
    return np.asarray(slices.reshape(len(slices), -1).any(axis=1))


def _check_grid(imputed: Case, truth: Case) -> None:
    found, real = imputed.image, truth.image
    tolerance = _TOLERANCE * real.spacing.min()
    same = np.allclose(found.affine, real.affine, rtol=0, atol=tolerance)
    shapes = found.stored.shape, real.stored.shape
    fewer = sum(a != b for a, b in zip(*(shape[:3] for shape in shapes), strict=True))
    if not same or fewer > 1 or shapes[0][3:] != shapes[1][3:]:
        msg = (
            f"expected an imputed volume on the grid of the truth (shape {real.stored.shape}, "
            f"spacing {real.spacing.round(4).tolist()} mm), got shape {found.stored.shape}, "
            f"spacing {found.spacing.round(4).tolist()} mm; impute slices that were removed from "
            "the truth, with --count set to how many lie between two that were kept"
        )
        raise ValueError(msg)
