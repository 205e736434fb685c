"""Filling one case: the acquired slices as they are, synthetic ones between them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.geometry import (
    adaptive_count,
    slices_back,
    slices_first,
    spacing_count,
    step_map,
    through_plane_axis,
)
from slicefill.hardware import launch_fabric
from slicefill.interpolation.classical import CLASSICAL
from slicefill.params import ImputationParams, WindowParams
from slicefill.stacks import stack_case, to_dtype
from slicefill.super_resolution.infer import fill_by_super_resolution, load_engine
from slicefill.synthesis.checkpoint import load_model, weights_digest
from slicefill.synthesis.infer import Engine, fill_by_flow
from slicefill.types import Array, Case, Checkpoint, Filling, Method, Stack, Volume


@dataclass(frozen=True)
class Imputer:
    """A method ready to fill cases.

    Attributes:
        name: As in `imputation.methods` and in provenance.
        method: Fills the gaps of a stack.
        window: Which intensities its network, or its trust, sees as 0 and 1.
        model: SHA-256 of the weights, or None for a classical method.
    """

    name: str
    method: Method
    window: WindowParams
    model: str | None = None

    @property
    def mark(self) -> str:
        """Digest of what the method's output depends on besides the case."""
        return fingerprint(self.name, self.window, self.model)


def classical_imputer(name: str, params: ImputationParams) -> Imputer:
    """Prepare a classical method."""
    return Imputer(name, CLASSICAL[name], params.window)


def learned_imputer(name: str, checkpoint: Checkpoint, params: ImputationParams) -> Imputer:
    """Prepare a trained model on the device and in the precision of `params.hardware`.

    Args:
        name: As in `imputation.methods`.
        checkpoint: Of a synthesis model, or of kind `super_resolution`.
        params: Hardware, and how much is computed at a time.
    """
    prepare = _super_resolution if checkpoint.get("kind") == "super_resolution" else _flow
    method = prepare(checkpoint, params)
    window = WindowParams.model_validate(checkpoint["params"]["window"])
    return Imputer(name, method, window, weights_digest(checkpoint["weights"]))


def _flow(checkpoint: Checkpoint, params: ImputationParams) -> Method:
    fabric = launch_fabric(params.hardware)
    model = load_model(checkpoint).to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    engine = Engine(model, fabric, params.batch_pixels, params.label_field, params.ensemble)
    return partial(fill_by_flow, engine)


def _super_resolution(checkpoint: Checkpoint, params: ImputationParams) -> Method:
    fabric = launch_fabric(params.hardware)
    return partial(fill_by_super_resolution, load_engine(checkpoint, fabric, params.batch_pixels))


def fill_case(case: Case, imputer: Imputer, params: ImputationParams) -> Case:
    """Fill every gap of a case.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        imputer: The method.
        params: Through-plane axis, number of slices per gap, and whether acquired slices that
            the method changes are put back.

    Returns:
        Image and label on the denser grid, in the stored dtype, intensity scale and world of
        the input, every acquired slice bit-identical unless the method replaces it (the record
        says `acquired_slices`: `kept` or `replaced`); no label where the method fills none (the
        record says `labels`: `filled` or `none`); maps
        `synthetic_mask` (1 = synthetic) and `trust` (agreement of both neighbours' predictions,
        [0, 1], acquired slices 1); a record with the origin of every slice.
    """
    axis = through_plane_axis(case.image.affine, params.through_plane)
    count = slices_per_gap(case.image.spacing, axis, params)
    positions = [n / (count + 1) for n in range(1, count + 1)]
    stack = stack_case(case, axis, imputer.window)
    filling = imputer.method(stack, positions)
    grid = _Grid(case.image, axis, count)
    replaced = None if params.restore_acquired else filling.acquired
    acquired = case.image if replaced is None else grid.replace(replaced)
    image = grid.interleave(acquired, grid.as_stored(filling.image))
    label = None
    if case.label is not None and filling.label is not None:
        label = grid.interleave(case.label, filling.label)
    record = _record(case, stack, imputer, grid)
    record["acquired_slices"] = "kept" if replaced is None else "replaced"
    record["labels"] = "none" if label is None else "filled"
    record["parameters"] = params.model_dump(exclude={"methods", "cases"})
    return Case(image, label, _maps(filling, grid), record)


def slices_per_gap(spacing: Array, axis: int, params: ImputationParams) -> int:
    """Number of synthetic slices per gap by the configured rule."""
    if params.target_spacing is not None:
        return spacing_count(float(spacing[axis]), params.target_spacing)
    if params.count == "N_A":
        return adaptive_count(spacing, axis)
    return int(params.count or 0)


@dataclass(frozen=True)
class _Grid:
    """The denser grid: slice k · (count + 1) is acquired slice k."""

    source: Volume
    axis: int
    count: int

    @property
    def index_map(self) -> Array:
        return step_map(self.axis, 1 / (self.count + 1))

    def interleave(self, acquired: Volume, synthetic: Array) -> Volume:
        """Put synthetic slices `(D - 1, N, H, W[, C])` between the acquired ones."""
        stored = self._merge(acquired.stored, synthetic)
        return acquired.with_stored(stored, self.index_map)

    def overlay(self, acquired: Array, synthetic: Array, slope: float) -> Volume:
        """Make a map on the denser grid from its values on both kinds of slice."""
        stored = self._merge(acquired, synthetic)
        return self.source.with_stored(stored, self.index_map, (slope, 0.0))

    def as_stored(self, slices: Array) -> Array:
        """Turn `(..., C, H, W)` into `(..., H, W[, C])`."""
        moved = np.moveaxis(slices, -3, -1)
        return moved if self.source.stored.ndim == 4 else moved[..., 0]

    def replace(self, acquired: Array) -> Volume:
        """Put other numbers `(D, C, H, W)` in the place of the acquired slices."""
        stored = to_dtype(self.as_stored(acquired), self.source.stored.dtype)
        return self.source.with_stored(slices_back(stored, self.axis))

    def _merge(self, acquired: Array, synthetic: Array) -> Array:
        first = slices_first(acquired, self.axis)
        step = self.count + 1
        merged = np.empty(((len(first) - 1) * step + 1, *first.shape[1:]), first.dtype)
        merged[::step] = first
        for n in range(self.count):
            merged[n + 1 :: step] = to_dtype(synthetic[:, n], first.dtype)
        return slices_back(merged, self.axis)


def _maps(filling: Filling, grid: _Grid) -> dict[str, Volume]:
    """Map where slices are synthetic, and how far they are trusted."""
    ones = np.ones(grid.source.stored.shape[:3], np.uint8)
    return {
        "synthetic_mask": grid.overlay(ones * 0, np.ones_like(filling.trust), 1.0),
        "trust": grid.overlay(ones * 255, filling.trust * 255, 1 / 255),
    }


def _record(case: Case, stack: Stack, imputer: Imputer, grid: _Grid) -> dict[str, Any]:
    """Say where every slice comes from."""
    step = grid.count + 1
    slices = [
        {"index": k, "acquired": k // step}
        if k % step == 0
        else {"index": k, "between": [k // step, k // step + 1], "t": (k % step) / step}
        for k in range((len(stack.image) - 1) * step + 1)
    ]
    return {
        "axis": grid.axis,
        "count": grid.count,
        "method": imputer.name,
        "model_sha256": imputer.model,
        "window_stored": stack.window,
        "window": imputer.window.model_dump(),
        "slice_spacing_mm": float(case.image.spacing[grid.axis]) / step,
        "slices": slices,
        "versions": {"slicefill": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "source": dict(case.record),
    }
