"""How a network that segments acquired slices comes to every slice of an imputed scan.

Each way is a predictor: from the imputed scan to class probabilities at all of its slices.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_back, slices_first, through_plane_axis
from slicefill.imputation.distances import signed_distances
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer
from slicefill.imputation.methods.classical import sampling_weights
from slicefill.params import ImputationParams
from slicefill.segmentation.interface import Predictor
from slicefill.segmentation.scans import Scan
from slicefill.segmentation.subvoxel import fine_step, in_phases, phase_of
from slicefill.types import Array, Case, Floats

Move = Callable[[Array], Array]
"""From the class indices of acquired slices, `(D, H, W)`, to those of all slices, `(M, H, W)`."""
INTERPOLATED = ("nearest", "linear", "cubic")
"""Rules by which probabilities are interpolated."""
_LEAST = 1e-6  # a probability below it counts as that in a logarithm


def label_mover(case: Case, imputer: Imputer, params: ImputationParams) -> Move:
    """Impute labels that a network predicted: with a learned method they move with the image.

    Args:
        case: Of acquired slices.
        imputer: The method.
        params: How it imputes.

    Returns:
        A function that raises ValueError if the method makes no labels.
    """
    axis = through_plane_axis(case.image.affine, params.through_plane)

    def move(classes: Array) -> Array:
        made = impute_case(with_classes(case, classes, axis), imputer, params).label
        if made is None:
            msg = f"{imputer.name}: expected a method that imputes labels, but it makes none"
            raise ValueError(msg)
        return slices_first(made.stored, axis)

    return move


def with_classes(case: Case, classes: Array, axis: int) -> Case:
    """Return the image of a case labelled by class indices of its slices, `(D, H, W)`."""
    stored = slices_back(classes.astype(np.uint8), axis)
    return Case(case.image, case.image.with_stored(stored, slope_intercept=(1.0, 0.0)))


def interpolated(predictor: Predictor, rule: str, *, logarithms: bool = False) -> Predictor:
    """Segment acquired slices and interpolate their probabilities, as nnU-Net resamples them.

    Args:
        predictor: Of acquired slices.
        rule: One of `INTERPOLATED`.
        logarithms: Interpolate those, and normalise.
    """

    def predict(scan: Scan) -> Floats:
        acquired, step = _acquired(predictor, scan)
        places = np.arange(len(scan.image)) / step
        weights = sampling_weights(rule, acquired.shape[1], places)
        values = np.log(np.maximum(acquired, _LEAST)) if logarithms else acquired
        fine = np.moveaxis(np.tensordot(weights, values, (1, 1)), 0, 1)
        fine = np.exp(fine) if logarithms else np.clip(fine, 0, 1)
        fine = np.asarray(fine / fine.sum(0), np.float32)
        fine[:, ::step] = acquired
        return fine

    return predict


def moved(predictor: Predictor, move: Move) -> Predictor:
    """Segment acquired slices and impute the labels; probabilities are 0 and 1."""

    def predict(scan: Scan) -> Floats:
        acquired, _ = _acquired(predictor, scan)
        classes = move(acquired.argmax(0))
        return np.stack([classes == index for index in range(len(acquired))]).astype(np.float32)

    return predict


def fused(predictor: Predictor, move: Move, softness: float) -> Predictor:
    """Average the probabilities at all slices and the labels of acquired ones, imputed, made soft.

    The network sees slices as far apart as it has learned (`in_phases`): one that looks across
    slices takes others for another anatomy.

    Args:
        predictor: Of acquired slices.
        move: Imputes labels.
        softness: As in `soften`. Acquired slices keep their probabilities.
    """

    def predict(scan: Scan) -> Floats:
        fine = in_phases(predictor)(scan)
        moved = move(fine[:, scan.acquired].argmax(0))
        return fuse_soft(fine, moved, places=scan.acquired, softness=softness)

    return predict


def fuse_soft(fine: Floats, moved: Array, *, places: NDArray[np.bool_], softness: float) -> Floats:
    """Average probabilities at all slices and imputed labels made soft.

    Args:
        fine: What a network finds on all slices, `(K, M, H, W)`; acquired ones keep it.
        moved: The imputed labels, class indices, `(M, H, W)`.
        places: Which slices are the acquired ones, `(M,)`.
        softness: As in `soften`.
    """
    soft = soften(moved, len(fine), softness)
    soft[:, places] = fine[:, places]
    mean: Floats = (fine + soft) / np.float32(2)
    return mean


def soften(classes: Array, count: int, softness: float) -> Floats:
    """Turn labels into probabilities by the distance to their outlines.

    Args:
        classes: Class indices, `(M, H, W)`.
        count: Of classes.
        softness: Pixels by which one outline must lie nearer than another for e times the
            probability.

    Returns:
        `(count, M, H, W)`; the label of a voxel keeps the largest probability.

    Example:
        >>> soften(np.array([[[0, 0, 1, 1]]]), 2, 1.0)[1].astype(float).round(2).tolist()
        [[[0.05, 0.27, 0.73, 0.95]]]
    """
    from scipy.special import softmax

    distances = np.stack([signed_distances(classes == index) for index in range(count)])
    return np.asarray(softmax(distances / softness, axis=0), np.float32)


def find_way(
    name: str,
    predictor: Predictor,
    *,
    rule: str = "",
    logarithms: bool = False,
    move: Move | None = None,
    softness: float = 1.0,
) -> Predictor:
    """Return the predictor of one way to the fine grid, by its name in `conf/`.

    Args:
        name: `grid`, `phases`, `labels`, `probabilities` or `fused`.
        predictor: The network.
        rule: Of `probabilities`.
        logarithms: Of `probabilities`.
        move: Of `labels` and `fused`.
        softness: Of `fused`.

    Raises:
        ValueError: If the way cannot be gone with what was given.
    """
    if name == "grid":
        return predictor
    if name == "phases":
        return in_phases(predictor)
    if name == "probabilities":
        if rule not in INTERPOLATED:
            known = ", ".join(INTERPOLATED)
            msg = f"probabilities: expected interpolation by {known}, got {rule or 'a method'}"
            raise ValueError(msg)
        return interpolated(predictor, rule, logarithms=logarithms)
    if move is None:
        msg = f"{name}: expected a method that imputes labels, got none"
        raise ValueError(msg)
    return moved(predictor, move) if name == "labels" else fused(predictor, move, softness)


def _acquired(predictor: Predictor, scan: Scan) -> tuple[Floats, int]:
    """Probabilities of the acquired slices, and the steps from one to the next."""
    step = fine_step(scan)
    return predictor(phase_of(scan, step, 0)), step
