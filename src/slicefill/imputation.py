"""Filling one case: the acquired slices as they are, synthetic ones between them."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from slicefill.synthesis.checkpoint import Checkpoint, load_model, load_params, weights_digest
from slicefill.synthesis.infer import Engine, fill_by_flow
from slicefill.types import Array, Case, Filling, Method, Stack, Volume


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
    """Prepare a trained model on the device and in the precision of `params.hardware`."""
    fabric = launch_fabric(params.hardware)
    model = load_model(checkpoint).to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    engine = Engine(model, fabric, params.batch_pixels, params.label_field, params.ensemble)

    def method(stack: Stack, positions: Sequence[float]) -> Filling:
        return fill_by_flow(engine, stack, positions)

    window = load_params(checkpoint).window
    return Imputer(name, method, window, weights_digest(checkpoint["weights"]))


def fill_case(case: Case, imputer: Imputer, params: ImputationParams) -> Case:
    """Fill every gap of a case.

    Args:
        case: Image `(I, J, K)` or `(I, J, K, C)`, label or none.
        imputer: The method.
        params: Through-plane axis and number of slices per gap.

    Returns:
        Image and label on the denser grid, in the stored dtype, intensity scale and world of
        the input, every acquired slice bit-identical; maps `synthetic_mask` (1 = synthetic) and
        `trust` (agreement of both neighbours' predictions, [0, 1], acquired slices 1); a record
        with the origin of every slice.
    """
    axis = through_plane_axis(case.image.affine, params.through_plane)
    count = slices_per_gap(case.image.spacing, axis, params)
    positions = [n / (count + 1) for n in range(1, count + 1)]
    stack = stack_case(case, axis, imputer.window)
    filling = imputer.method(stack, positions)
    grid = _Grid(case.image, axis, count)
    image = np.moveaxis(filling.image, 2, -1)
    if case.image.stored.ndim == 3:
        image = image[..., 0]
    label = None
    if case.label is not None and filling.label is not None:
        label = grid.interleave(case.label, filling.label)
    ones = np.ones(case.image.stored.shape[:3], np.uint8)
    maps = {
        "synthetic_mask": grid.overlay(ones * 0, np.ones_like(filling.trust), 1.0),
        "trust": grid.overlay(ones * 255, filling.trust * 255, 1 / 255),
    }
    record = _record(case, stack, imputer, grid)
    record["parameters"] = params.model_dump(exclude={"methods", "cases"})
    return Case(grid.interleave(case.image, image), label, maps, record)


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

    def _merge(self, acquired: Array, synthetic: Array) -> Array:
        first = slices_first(acquired, self.axis)
        step = self.count + 1
        merged = np.empty(((len(first) - 1) * step + 1, *first.shape[1:]), first.dtype)
        merged[::step] = first
        for n in range(self.count):
            merged[n + 1 :: step] = to_dtype(synthetic[:, n], first.dtype)
        return slices_back(merged, self.axis)


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
