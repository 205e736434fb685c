"""Error calibration: the error models are fitted to volumes whose every slice is known."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from slicefill.imputation.methods.slice_imputation.infer import (
    FlowImputer,
    impute_by_flow,
    load_flow_imputer,
)
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.uncertainty.confidence import fit_error_model
from slicefill.imputation.uncertainty.evidence import (
    METHODS,
    Evidence,
    Imputed,
    cycle_error,
    gather_evidence,
)
from slicefill.params.pretraining import CalibrationParams
from slicefill.training.hardware import launch_fabric
from slicefill.types import Checkpoint, Floats, Stack


def calibrate(
    checkpoint: Checkpoint, volumes: Iterable[Floats], params: CalibrationParams
) -> Checkpoint:
    """Fit the error models of a synthesis network.

    Each volume is subsampled along its first axis, imputed, and compared with what was removed.

    Args:
        checkpoint: Of a synthesis model of one channel.
        volumes: `(D, H, W)`, every slice known, intensities in [0, 1]; none that the model was
            trained on, where its errors are too small.
        params: Factors, number of voxels drawn, and number of knots.

    Returns:
        The checkpoint with the entry `confidence`, plain values: `smoothing`, `factors`, and per
        method (`model`, `linear`, `cubic`) its `ErrorModel`, once with the cycle error among the
        evidence (`with_cycle`) and once without (`without_cycle`).

    Raises:
        ValueError: If a volume is too short for its interval, or all voxels have the same evidence.
    """
    fabric = launch_fabric(params.hardware)
    imputer = load_flow_imputer(
        checkpoint, fabric, params.batch_pixels, LabelRule("one_hot"), ensemble=False
    )
    rng = np.random.default_rng(params.seed)
    drawn = []
    for place, volume in enumerate(volumes):
        factor = params.factors[place % len(params.factors)]
        known = compare_known(imputer, volume, factor, params.smoothing)
        drawn.append(known.iloc[rng.integers(0, len(known), params.voxels)])
    entry = fit_calibration(pd.concat(drawn), params)
    return {**checkpoint, "confidence": entry}


def fit_calibration(known: pd.DataFrame, params: CalibrationParams) -> dict[str, Any]:
    """Fit the error models of all methods.

    Args:
        known: Voxels whose error is known, as `compare_removed` lists them.
        params: As in `calibrate`.

    Returns:
        The entry `confidence` of a checkpoint.
    """
    evidence = [str(name) for name in known if name not in _ERRORS]
    without = [name for name in evidence if name != "cycle"]
    return {
        "smoothing": params.smoothing,
        "factors": params.factors,
        "with_cycle": _fit(known, evidence, params.knots),
        "without_cycle": _fit(known, without, params.knots),
    }


_ERRORS = {f"error_{name}": name for name in METHODS}
"""Method by column of its true error."""


def compare_known(
    imputer: FlowImputer, volume: Floats, factor: int, smoothing: int
) -> pd.DataFrame:
    """Impute a subsampled volume, and compare every synthetic voxel with the truth.

    Args:
        imputer: A model of one channel.
        volume: `(D, H, W)`, intensities in [0, 1].
        factor: Every so many slices are kept.
        smoothing: As in `CalibrationParams`.

    Returns:
        A row per voxel; columns: the evidence by name, and the absolute errors `error_model`,
        `error_linear` and `error_cubic`.
    """
    subsampled = volume[::factor]
    if len(subsampled) < 3:
        msg = (
            f"a volume of {len(volume)} slices is too short for factor {factor}: "
            "give at least 3 intervals"
        )
        raise ValueError(msg)
    stack = Stack(np.ascontiguousarray(subsampled[:, None]), np.array([[0.0, 1.0]]))
    removed = volume[: (len(subsampled) - 1) * factor].reshape(-1, factor, *volume.shape[1:])[:, 1:]
    return pd.concat(compare_removed(imputer, stack, removed[:, :, None], smoothing))


def compare_removed(
    imputer: FlowImputer, stack: Stack, removed: Floats, smoothing: int
) -> Iterator[pd.DataFrame]:
    """Impute a stack, and compare every synthetic voxel with the slices that were removed.

    Args:
        imputer: The model.
        stack: At least three slices.
        removed: N slices of each interval, evenly spaced, intensities, `(D - 1, N, C, H, W)`.
        smoothing: As in `CalibrationParams`.

    Yields:
        A table of some intervals as `compare_known` returns, in order of the voxels of the box
        that shows more than background.
    """
    count = removed.shape[1]
    positions = [n / (count + 1) for n in range(1, count + 1)]
    synthetic = impute_by_flow(imputer, stack, positions)
    cycle = cycle_error(imputer, stack, synthetic)
    imputed = Imputed(imputer, stack, synthetic, positions, smoothing, cycle)
    for found in gather_evidence(imputed):
        yield _rows(imputed, found, removed)


def _rows(imputed: Imputed, found: Evidence, removed: Floats) -> pd.DataFrame:
    """Evidence and errors of the voxels of some intervals."""
    truth = imputed.shown(imputed.inside(removed[found.intervals], found.box))
    errors = {
        column: (imputed.shown(found.values[name]) - truth).abs().mean(2)
        for column, name in _ERRORS.items()
    }
    columns = {**found.features, **errors}
    return pd.DataFrame({name: each.flatten().cpu().numpy() for name, each in columns.items()})


def _fit(known: pd.DataFrame, evidence: list[str], knots: int) -> dict[str, Any]:
    """Fit the error model of every method, as plain values."""
    features = {name: known[name].to_numpy(np.float64) for name in evidence}
    return {
        name: asdict(fit_error_model(features, known[column].to_numpy(np.float64), knots))
        for column, name in _ERRORS.items()
    }
