"""Confidence of synthetic voxels: an error model, calibrated, and what is done where it is low."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, nnls
from torch import Tensor

from slicefill.imputation.methods.slice_imputation.infer import (
    FlowImputer,
    allocate,
    each_by_flow,
    impute_by_flow,
)
from slicefill.imputation.uncertainty.evidence import (
    FALLBACKS,
    MODEL,
    Evidence,
    Imputed,
    cycle_error,
    evidence_of,
)
from slicefill.params.imputation import ConfidenceParams
from slicefill.types import Checkpoint, Stack, SyntheticSlices

_ROUNDING = 3e-3  # share of the window: smaller errors need not be told apart
_ROUNDS = 4  # of least squares, each relative to the errors that the one before expects
_LAST_FRACTION = 1e-3  # of the voxels lies in the highest bin: large errors are rare


@dataclass(frozen=True)
class ErrorModel:
    """Expected absolute error of one method.

    Attributes:
        weights: By name of the evidence, none below 0.
        scores: Weighted sums at the knots of the map, rising.
        errors: Expected absolute error at the knots, never falling; share of the window.

    Example:
        Evidence of 0.2 has the score 0.4, half-way between the knots:

        >>> model = ErrorModel({"apart": 2.0}, [0.0, 0.8], [0.0, 0.5])
        >>> round(float(model.expect({"apart": torch.tensor(0.2)})), 4)
        0.25
    """

    weights: Mapping[str, float]
    scores: Sequence[float]
    errors: Sequence[float]

    def expect(self, evidence: Mapping[str, Tensor]) -> Tensor:
        """Return the expected absolute error, of the shape of the evidence.

        Beyond the knots it is that of the nearest knot.
        """
        (first, weight), *others = self.weights.items()
        score = weight * evidence[first]
        for name, weight in others:
            if weight:
                score = torch.add(score, evidence[name], alpha=weight)
        scores, errors = np.array(self.scores), np.array(self.errors)
        slopes = np.diff(errors) / np.diff(scores)
        rise, start = score.new_tensor(slopes), score.new_tensor(errors[:-1] - slopes * scores[:-1])
        between = torch.searchsorted(score.new_tensor(scores[1:-1]), score)
        return torch.addcmul(start[between], rise[between], score.clamp(scores[0], scores[-1]))


def fit_error_model(
    evidence: Mapping[str, NDArray[np.float64]], error: NDArray[np.float64], knots: int
) -> ErrorModel:
    """Fit an error model to known errors.

    The weights are non-negative, so that more evidence of an error never lowers its prediction.
    They are those of least squares relative to the expected error: the order of small errors counts
    as much as that of large ones. Voxels are sorted by the weighted sum and divided into bins, the
    higher the narrower; the mean errors of the bins, made monotone (isotonic regression), are the
    knots, after one where there is no evidence and no error.

    Args:
        evidence: By name, each `(n,)`.
        error: Absolute error, share of the window, `(n,)`.
        knots: Most knots of the map.

    Raises:
        ValueError: If all voxels have the same evidence.
    """
    features = np.stack(list(evidence.values()), axis=1)
    expected = np.full(len(error), error.mean())
    for _ in range(_ROUNDS):
        relative = 1 / (expected + _ROUNDING)
        weighted = np.column_stack([features, error]) * relative[:, None]
        triangle = np.asarray(np.linalg.qr(weighted, mode="r"))  # the same problem, far smaller
        weights, _ = nnls(triangle[:, :-1], triangle[:, -1])
        expected = features @ weights
    scores, errors = _steps(features @ weights, error, knots - 1)
    named = {name: float(weight) for name, weight in zip(evidence, weights, strict=True)}
    return ErrorModel(named, [0.0, *scores], [0.0, *errors])


def _steps(
    score: NDArray[np.float64], error: NDArray[np.float64], knots: int
) -> tuple[list[float], list[float]]:
    """Mean score and mean error of bins of voxels, the latter made monotone; none at score 0."""
    levels = 1 - np.geomspace(1, _LAST_FRACTION, knots)
    levels[1:-1] = (levels[1:-1] + np.linspace(0, 1, knots)[1:-1]) / 2
    edges = np.unique(np.quantile(score, levels))
    bins = np.searchsorted(edges, score, side="right") - 1
    counts = np.bincount(bins)
    if np.count_nonzero(counts) < 2:
        msg = f"no evidence tells {len(error)} voxels apart: expected scans that show something"
        raise ValueError(msg)
    means, errors = (np.bincount(bins, v)[counts > 0] / counts[counts > 0] for v in (score, error))
    monotone = isotonic_regression(errors, weights=counts[counts > 0]).x
    told = means > 0
    return means[told].tolist(), monotone[told].tolist()


@dataclass(frozen=True)
class ErrorCalibration:
    """The error models of a calibrated network, and when they replace its values.

    Attributes:
        fitted: The entry `confidence` of a checkpoint, as `calibrate` made it.
        params: When to abstain, and whether acquired slices are predicted back.
    """

    fitted: Mapping[str, Any]
    params: ConfidenceParams

    def uses_cycle(self, stack: Stack) -> bool:
        """Whether acquired slices are predicted back; of two slices none can be."""
        return self.params.cycle and len(stack.image) > 2

    def error_models(self, stack: Stack) -> dict[str, ErrorModel]:
        """Return the error models of the network and of the fallback methods."""
        kind = "with_cycle" if self.uses_cycle(stack) else "without_cycle"
        return {name: ErrorModel(**values) for name, values in self.fitted[kind].items()}


def load_calibration(checkpoint: Checkpoint, params: ConfidenceParams) -> ErrorCalibration | None:
    """Read the calibration of a model; None if it has none."""
    return (
        ErrorCalibration(checkpoint["confidence"], params) if "confidence" in checkpoint else None
    )


def impute_with_confidence(
    imputer: FlowImputer, calibration: ErrorCalibration, stack: Stack, positions: Sequence[float]
) -> SyntheticSlices:
    """Impute a stack, predict the error of every voxel, abstain where it is large.

    Args:
        imputer: The model.
        calibration: Of this model.
        stack: D slices.
        positions: N values of t in (0, 1), the same in every interval.

    Returns:
        As `impute_by_flow`, but that confidence is 1 - the expected absolute error of what the
        voxel holds. Where the model's would be below the threshold and a fallback method expects
        less than `margin` times its error, the image has the value of the fallback method, in all
        channels, if all their values lie within the window. Labels are the model's.
    """
    if not positions:
        return impute_by_flow(imputer, stack, positions)
    smoothing, models = calibration.fitted["smoothing"], calibration.error_models(stack)
    imputed = Imputed(imputer, stack, allocate(stack, positions), positions, smoothing, None)
    each = _with_cycle(imputed) if calibration.uses_cycle(stack) else _at_once(imputed)
    synthetic = imputed.synthetic
    abstained = np.zeros(synthetic.confidence.shape, bool)
    for found in each:
        error, chosen = _choose(found, models, calibration.params)
        own, box = found.intervals, found.box
        expected = (1 - error).clamp(0, 1).cpu().numpy()
        box.cut(synthetic.confidence[own])[:] = expected  # it was evidence
        box.cut(abstained[own])[:] = (chosen > 0).cpu().numpy()
        _replace(box.cut(torch.from_numpy(synthetic.image[own])), found, chosen)
    return replace(synthetic, measure="expected_error", abstained=abstained)


def _at_once(imputed: Imputed) -> Iterator[Evidence]:
    """Impute some intervals at a time, each time with their evidence: none is kept for long."""
    own = imputed.imputer, imputed.stack, imputed.positions, imputed.synthetic
    for part in each_by_flow(*own):
        yield evidence_of(imputed, part)


def _with_cycle(imputed: Imputed) -> Iterator[Evidence]:
    """Impute all intervals first: acquired slices are predicted back from both sides."""
    own = imputed.imputer, imputed.stack, imputed.positions, imputed.synthetic
    parts = list(each_by_flow(*own))
    cycle = cycle_error(imputed.imputer, imputed.stack, imputed.synthetic)
    for part in parts:
        yield evidence_of(replace(imputed, cycle=cycle), part)


def _choose(
    found: Evidence, models: Mapping[str, ErrorModel], params: ConfidenceParams
) -> tuple[Tensor, Tensor]:
    """Return the expected error of the method chosen and its place in `METHODS`, `(G, N, h, w)`.

    The fallback methods are asked only where the model is doubted.
    """
    error = models[MODEL].expect(found.features)
    chosen = torch.zeros(error.shape, dtype=torch.uint8, device=error.device)
    doubted = torch.nonzero(found.visible & (error > 1 - params.threshold), as_tuple=True)
    if len(doubted[0]):
        few, own = {name: each[doubted] for name, each in found.features.items()}, error[doubted]
        least, best = torch.stack([models[name].expect(few) for name in FALLBACKS]).min(0)
        replaced = least < params.margin * own
        error[doubted] = torch.where(replaced, least, own)
        chosen[doubted] = torch.where(replaced, best + 1, 0).to(chosen.dtype)
    return error, chosen


def _replace(image: Tensor, found: Evidence, chosen: Tensor) -> None:
    """Take voxels from the fallback method chosen there; `image` is `(G, N, C, h, w)`."""
    for position, name in enumerate(FALLBACKS, start=1):
        here = (chosen == position)[:, :, None]
        if here.any():
            image.copy_(torch.where(here, found.values[name], image))
