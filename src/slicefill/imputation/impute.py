"""Imputation of one case: acquired slices stay as they are, synthetic ones lie between them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from slicefill import __version__
from slicefill.geometry import through_plane_axis
from slicefill.imputation.absent import impute_absent
from slicefill.imputation.background import Background
from slicefill.imputation.choice import Choice, blend, choose
from slicefill.imputation.dense_grid import DenseGrid, channels_second, stack_case
from slicefill.imputation.exact_grid import Placing, impute_exactly
from slicefill.imputation.grids import refuse_too_much, slices_per_interval
from slicefill.imputation.imputers import Imputer
from slicefill.imputation.label_choice import choose_labels
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.imputation.orientation import Turn
from slicefill.imputation.orthogonal import orthogonalise
from slicefill.imputation.returned import checked
from slicefill.imputation.trace import confidence_record
from slicefill.params import ImputationParams
from slicefill.types import CONFIDENCE_STEPS, Array, Case, Stack, SyntheticSlices, Volume


def impute_case(
    case: Case,
    imputer: Imputer,
    params: ImputationParams,
    rng: np.random.Generator | None = None,
) -> Case:
    """Impute every interval of a case.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        imputer: The method.
        params: Through-plane axis, number of slices per interval, and whether acquired slices that
            the method changes are put back. With `exact`, acquired slices stay only where they fall
            on the grid (`slicefill.imputation.exact_grid`). What is `absent` of a series is imputed
            (`slicefill.imputation.absent`).
        rng: For methods that draw samples; seeded by `params.seed` if omitted.

    Returns:
        Image and label on the denser grid, in the stored dtype, intensity scale and world of
        the input, every acquired slice bit-identical unless the method replaces it (the record
        says `acquired_slices`: `kept`, `replaced`, or with `orthogonal` perhaps `resampled`); no
        label where the method imputes none (the record says `labels`: `imputed` or `none`); maps
        `synthetic_mask` (1 = synthetic) and `confidence` ([0, 1], acquired slices 1; the record
        says of what: `confidence`: `agreement` or `expected_error`); a record with the origin of
        every slice. Of a method that draws several samples, `image` is as the method says and the
        maps `sample_1`, `sample_2`, … hold the samples, in the stored dtype, `sample_label_1`, …
        their labels, and `spread` the standard deviation of what a voxel may be, a share of the
        window's width.

    Raises:
        BadCase: If the result would have more slices or bytes than `params` allow.
    """
    refuse_too_much(case, params)
    if case.absent:
        return impute_absent(case, partial(_impute_intervals, imputer, rng), params)
    if params.orthogonal and (straight := orthogonalise(case, params.through_plane)) is not case:
        made = impute_case(straight, imputer, params.model_copy(update={"orthogonal": False}), rng)
        asked = {**made.record["parameters"], "orthogonal": True}
        changed = {"acquired_slices": "resampled", "parameters": asked}
        return replace(made, record={**made.record, **changed})
    if params.exact:
        return impute_exactly(case, partial(_impute_intervals, imputer, rng), params)
    axis = through_plane_axis(case.image.affine, params.through_plane)
    count = slices_per_interval(case.image.spacing, axis, params)
    return _impute_intervals(imputer, rng, case, params, DenseGrid.even(case.image, axis, count))


def _impute_intervals(
    imputer: Imputer,
    rng: np.random.Generator | None,
    case: Case,
    params: ImputationParams,
    grid: DenseGrid,
    placing: Placing | None = None,
) -> Case:
    """Impute the slices of a grid; of one that is not even, `placing` tells the method where."""
    turn = Turn.of(case.image.affine, grid.axis)
    stack = stack_case(case, grid.axis, imputer.window)
    background = _background(case, grid.axis, stack)
    stack = turn.stack(stack if grid.at is None else stack.placed(grid.at))
    rng = rng or np.random.default_rng(params.seed)
    made, told = _impute(stack, grid.positions, imputer, params, rng, placing)
    synthetic, stack = background.keep(turn.back(made)), turn.stack_back(stack)
    record = _record(case, stack, imputer, grid, synthetic)
    del stack, made  # what is no longer needed makes room for what is written
    replaced = None if params.restore_acquired else synthetic.acquired
    acquired = case.image if replaced is None else grid.replace(replaced, background.constant)
    image = grid.interleave(acquired, synthetic.image, background.held, grid.as_stored)
    samples = _samples(case, synthetic, grid, background)
    synthetic = replace(synthetic, image=synthetic.image[:0].copy(), samples=())
    label = None
    if case.label is not None and synthetic.label is not None:
        label = grid.interleave(case.label, synthetic.label)
    record["acquired_slices"] = "kept" if replaced is None else "replaced"
    record["labels"] = "none" if label is None else "imputed"
    record |= told
    record["parameters"] = params.model_dump(exclude={"methods", "weights", "cases"})
    return Case(image, label, _maps(synthetic, grid) | samples, record)


def _background(case: Case, axis: int, stack: Stack) -> Background:
    """Find what no method changes, on slices with their padding."""
    slices = channels_second(case.image, axis) if any(stack.padding) else stack.image
    return Background.of(slices, stack.padding)


def _impute(
    stack: Stack,
    positions: Sequence[float],
    imputer: Imputer,
    params: ImputationParams,
    rng: np.random.Generator,
    placing: Placing | None,
) -> tuple[SyntheticSlices, dict[str, Any]]:
    """Impute a stack as its own slices say, and return what they said for the record."""
    method, told = imputer.method, dict[str, Any](choice=None)
    if params.choose and positions and imputer.kind in (PRETRAINED, ADAPTED):
        choice = choose(stack, lambda sparse: imputer.method(sparse, [0.5], rng), imputer.planes)
        imputer, choice, learned = _let_learn(imputer, choice, stack, params.seed)
        method = partial(_impute_blended, imputer, choice)
        told["choice"] = {**choice.record(), **learned}
        if stack.label is not None and params.label_field == "shape_and_motion":
            labels = choose_labels(stack.label, params.label_ends)
            stack = replace(stack, label_share=labels.share)
            told["choice"]["labels"] = labels.record()
    method = placing(method) if placing else method
    if imputer.finish is not None:
        method, told["finished"] = imputer.finish(stack, method, rng)
        method = checked(method, f"method {imputer.name}")
    return method(stack, positions, rng), told


def _let_learn(
    imputer: Imputer, choice: Choice, stack: Stack, seed: int
) -> tuple[Imputer, Choice, dict[str, Any]]:
    """Let planes that take part learn from the scan, and say what came of it."""
    if imputer.teach is None or choice.planes == 0:
        return imputer, choice, {}
    planes, told = imputer.teach(stack, seed)
    trusted = choice.with_learned_planes() if told["used"] else choice
    return replace(imputer, planes=planes), trusted, {"planes_learned": told}


def _impute_blended(
    imputer: Imputer,
    choice: Choice,
    stack: Stack,
    positions: Sequence[float],
    rng: np.random.Generator,
) -> SyntheticSlices:
    made = imputer.method(stack, positions, rng)
    return blend(choice, made, stack, positions, imputer.planes, in_place=True)


def _maps(synthetic: SyntheticSlices, grid: DenseGrid) -> dict[str, Volume]:
    """Map where slices are synthetic, and how far they are trusted."""
    shape = grid.source.stored.shape[:3]
    zeros, full = np.zeros(shape, np.uint8), np.full(shape, CONFIDENCE_STEPS, np.uint16)
    ones = np.broadcast_to(np.uint8(1), synthetic.confidence.shape)

    def in_steps(share: Array) -> Array:
        return share * np.float32(CONFIDENCE_STEPS)

    slope = 1 / CONFIDENCE_STEPS
    spread = {}
    if synthetic.spread is not None:
        nothing = np.zeros_like(full)
        spread["spread"] = grid.overlay(nothing, synthetic.spread, slope, in_steps)
    return spread | {
        "synthetic_mask": grid.overlay(zeros, ones, 1.0),
        "confidence": grid.overlay(full, synthetic.confidence, slope, in_steps),
    }


def _samples(
    case: Case, synthetic: SyntheticSlices, grid: DenseGrid, background: Background
) -> dict[str, Volume]:
    """Put the samples of the synthetic slices between the acquired ones, each as a volume."""
    made = {
        f"sample_{number}": grid.interleave(case.image, sample, background.held, grid.as_stored)
        for number, sample in enumerate(synthetic.samples, start=1)
    }
    if case.label is not None:
        for number, label in enumerate(synthetic.sample_labels, start=1):
            made[f"sample_label_{number}"] = grid.interleave(case.label, label)
    return made


def _record(
    case: Case, stack: Stack, imputer: Imputer, grid: DenseGrid, synthetic: SyntheticSlices
) -> dict[str, Any]:
    """Say how the case was imputed, and where every slice comes from."""
    return {
        "axis": grid.axis,
        "count": len(grid.positions),
        "method": imputer.name,
        "weights": imputer.weights,
        "model_sha256": imputer.model,
        "model_version": imputer.version,
        "planes_sha256": imputer.planes_model,
        "adaptation": imputer.adaptation,
        "window_shown": stack.window,
        "window": imputer.window.model_dump(),
        "slice_spacing_mm": float(case.image.spacing[grid.axis]) / grid.parts,
        **({"samples": len(synthetic.samples)} if synthetic.samples else {}),
        **confidence_record(stack, synthetic, grid),
        "versions": {"slicefill": __version__, "torch": version("torch"), "numpy": np.__version__},
        "source": dict(case.record),
    }
