"""Imputation of one case: the acquired slices as they are, synthetic ones between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.geometry import (
    adaptive_count,
    anisotropy,
    spacing_count,
    through_plane_axis,
)
from slicefill.imputation.dense_grid import DenseGrid
from slicefill.imputation.methods.classical import CLASSICAL
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.imputation.methods.slice_imputation.checkpoint import weights_fingerprint
from slicefill.imputation.methods.slice_imputation.infer import impute_by_flow, load_engine
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.methods.super_resolution import infer as super_resolution
from slicefill.imputation.provenance import confidence_record
from slicefill.imputation.stacks import stack_case
from slicefill.imputation.uncertainty.confidence import (
    Judge,
    impute_with_confidence,
    load_judge,
)
from slicefill.imputation.uncertainty.domain import check_domain
from slicefill.params import ImputationParams, WindowParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Array, Case, Checkpoint, Method, Stack, SyntheticSlices, Volume

_CONFIDENCE_STEPS = 1000  # errors of a hundredth matter: the 255 steps of a byte are too coarse


@dataclass(frozen=True)
class Imputer:
    """A method ready to impute cases.

    Attributes:
        name: As in `imputation.methods` and in provenance.
        method: Imputes the intervals of a stack.
        window: Which intensities its network, or its confidence, sees as 0 and 1.
        model: SHA-256 of the weights, or None for a classical method.
        version: Of the package that trained them, or None.
        judge: What the method does about its confidence, if it is calibrated.
        domain: What its weights have seen (`synthesis.domain`), if that is known.
        adaptation: What came of adapting its weights (`synthesis.adaptation`), if they were.
    """

    name: str
    method: Method
    window: WindowParams
    model: str | None = None
    version: str | None = None
    judge: Judge | None = None
    domain: Mapping[str, Any] | None = None
    adaptation: Mapping[str, Any] | None = None

    @property
    def weights(self) -> str | None:
        """Whose weights fill: `pretrained`, `adapted` or `own`; None where there are none."""
        if self.model is None:
            return None
        return self.name if self.name in (PRETRAINED, ADAPTED) else "own"

    @property
    def mark(self) -> str:
        """Digest of what the method's output depends on besides the case."""
        judged = () if self.judge is None else (self.judge.calibration, self.judge.params)
        return fingerprint(self.name, self.window, self.model, *judged)


def classical_imputer(name: str, params: ImputationParams) -> Imputer:
    """Prepare a classical method."""
    return Imputer(name, CLASSICAL[name], params.window)


def learned_imputer(name: str, checkpoint: Checkpoint, params: ImputationParams) -> Imputer:
    """Prepare a trained model on the device and in the precision of `params.hardware`.

    Args:
        name: As in `imputation.methods`.
        checkpoint: Of a synthesis model, or of kind `super_resolution`.
        params: Hardware, how much is computed at a time, and what is done where confidence is low,
            if the model is calibrated.
    """
    prepare = _super_resolution if checkpoint.get("kind") == "super_resolution" else _flow
    method = prepare(checkpoint, params)
    window = WindowParams.model_validate(checkpoint["params"]["window"])
    digest = weights_fingerprint(checkpoint["weights"])
    judge = load_judge(checkpoint, params.confidence)
    version, domain, adaptation = map(checkpoint.get, ("version", "domain", "adaptation"))
    return Imputer(name, method, window, digest, version, judge, domain, adaptation)


def _flow(checkpoint: Checkpoint, params: ImputationParams) -> Method:
    fabric = launch_fabric(params.hardware)
    engine = load_engine(
        checkpoint, fabric, params.batch_pixels, LabelRule.of(params), params.ensemble
    )
    judge = load_judge(checkpoint, params.confidence)
    if judge is not None:
        return partial(impute_with_confidence, engine, judge)
    return partial(impute_by_flow, engine)


def _super_resolution(checkpoint: Checkpoint, params: ImputationParams) -> Method:
    fabric = launch_fabric(params.hardware)
    engine = super_resolution.load_engine(checkpoint, fabric, params.batch_pixels)
    return partial(super_resolution.impute_by_super_resolution, engine)


def impute_case(case: Case, imputer: Imputer, params: ImputationParams) -> Case:
    """Impute every interval of a case.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        imputer: The method.
        params: Through-plane axis, number of slices per interval, and whether acquired slices that
            the method changes are put back.

    Returns:
        Image and label on the denser grid, in the stored dtype, intensity scale and world of
        the input, every acquired slice bit-identical unless the method replaces it (the record
        says `acquired_slices`: `kept` or `replaced`); no label where the method imputes none (the
        record says `labels`: `imputed` or `none`); maps
        `synthetic_mask` (1 = synthetic) and `confidence` ([0, 1], acquired slices 1; the record
        says of what: `confidence`: `agreement` or `expected_error`); a record with the origin of
        every slice.
    """
    axis = through_plane_axis(case.image.affine, params.through_plane)
    count = slices_per_interval(case.image.spacing, axis, params)
    positions = [n / (count + 1) for n in range(1, count + 1)]
    stack = stack_case(case, axis, imputer.window)
    synthetic = imputer.method(stack, positions)
    grid = DenseGrid(case.image, axis, count)
    replaced = None if params.restore_acquired else synthetic.acquired
    acquired = case.image if replaced is None else grid.replace(replaced)
    image = grid.interleave(acquired, grid.as_stored(synthetic.image))
    label = None
    if case.label is not None and synthetic.label is not None:
        label = grid.interleave(case.label, synthetic.label)
    record = _record(case, stack, imputer, grid, synthetic)
    record["acquired_slices"] = "kept" if replaced is None else "replaced"
    record["labels"] = "none" if label is None else "imputed"
    record["parameters"] = params.model_dump(exclude={"methods", "weights", "adapt", "cases"})
    return Case(image, label, _maps(synthetic, grid), record)


def slices_per_interval(spacing: Array, axis: int, params: ImputationParams) -> int:
    """Number of synthetic slices per interval by the configured rule."""
    if params.target_spacing is not None:
        return spacing_count(float(spacing[axis]), params.target_spacing)
    if params.count == "N_A":
        return adaptive_count(spacing, axis)
    return int(params.count or 0)


def _maps(synthetic: SyntheticSlices, grid: DenseGrid) -> dict[str, Volume]:
    """Map where slices are synthetic, and how far they are trusted."""
    shape = grid.source.stored.shape[:3]
    zeros, full = np.zeros(shape, np.uint8), np.full(shape, _CONFIDENCE_STEPS, np.uint16)
    return {
        "synthetic_mask": grid.overlay(zeros, np.ones_like(synthetic.confidence), 1.0),
        "confidence": grid.overlay(
            full, synthetic.confidence * _CONFIDENCE_STEPS, 1 / _CONFIDENCE_STEPS
        ),
    }


def _record(
    case: Case, stack: Stack, imputer: Imputer, grid: DenseGrid, synthetic: SyntheticSlices
) -> dict[str, Any]:
    """Say how the case was imputed, and where every slice comes from."""
    return {
        "axis": grid.axis,
        "count": grid.count,
        "method": imputer.name,
        "weights": imputer.weights,
        "model_sha256": imputer.model,
        "model_version": imputer.version,
        "adaptation": imputer.adaptation,
        "domain": _domain(stack, imputer, grid),
        "window_stored": stack.window,
        "window": imputer.window.model_dump(),
        "slice_spacing_mm": float(case.image.spacing[grid.axis]) / (grid.count + 1),
        **confidence_record(stack, synthetic),
        "versions": {"slicefill": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "source": dict(case.record),
    }


def _domain(stack: Stack, imputer: Imputer, grid: DenseGrid) -> dict[str, Any] | None:
    """Hold the channel that guides the motion against what the weights have seen."""
    if imputer.domain is None:
        return None
    interval = anisotropy(grid.source.spacing, grid.axis)
    return check_domain(stack.normalised()[:, 0], interval, imputer.domain)
