"""Evidence of the error of synthetic voxels, measured on an imputed stack.

Every piece of evidence is an absolute difference of intensities of which the window is [0, 1],
averaged over the model's channels: an error that might have been made. What lies further than a
width of the window beyond it counts as a width beyond.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.imputation.box_means import mean_inside
from slicefill.imputation.methods.classical import slice_weights
from slicefill.imputation.methods.slice_imputation.foreground import Box, batches
from slicefill.imputation.methods.slice_imputation.infer import (
    FlowImputer,
    Made,
    motions,
    through_window,
)
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.imputation.neighbours import BEYOND, NO_WEIGHT
from slicefill.types import Floats, Stack, SyntheticSlices

MODEL, *FALLBACKS = METHODS = ("model", "linear", "cubic")
"""The methods whose error is predicted: the model, and the fallback methods."""
_AROUND = 4  # radii of smoothing: how far the surroundings of a voxel reach


@dataclass(frozen=True, eq=False)
class Imputed:
    """An imputed stack, seen through its window.

    Attributes:
        imputer: The model; only its channels are evidence.
        stack: D slices.
        synthetic: What that model imputed.
        positions: N values of t in (0, 1).
        smoothing: Radius of the square over which differences are averaged, pixels.
        cycle: Error of every acquired slice when predicted back, `(D, H, W)`; None: not measured.
    """

    imputer: FlowImputer
    stack: Stack
    synthetic: SyntheticSlices
    positions: Sequence[float]
    smoothing: int
    cycle: Floats | None

    def shown(self, intensities: Tensor) -> Tensor:
        """Scale intensities `(..., C, h, w)` of the model's channels; clip them beyond a width."""
        return self._scaled(intensities).clamp(-BEYOND, 1 + BEYOND)

    def visible(self, intensities: Tensor) -> Tensor:
        """Whether intensities lie in the window, in all channels of the model, `(..., h, w)`."""
        scaled = self._scaled(intensities)
        return ((scaled >= 0) & (scaled <= 1)).all(-3)

    def _scaled(self, intensities: Tensor) -> Tensor:
        channels = self.imputer.model.channels
        window = torch.from_numpy(self.stack.window[:channels]).to(intensities)
        return through_window(intensities[..., :channels, :, :], window)

    def smooth(self, differences: Tensor, times: int = 1) -> Tensor:
        """Average `(..., h, w)` over squares of so many radii; at the border over the part inside.

        A square wider than the box is cut to it.
        """
        height, width = differences.shape[-2:]
        radius = times * self.smoothing
        rows, columns = min(radius, height // 2), min(radius, width // 2)
        return mean_inside(differences, rows, columns)

    def inside(self, slices: Floats, box: Box) -> Tensor:
        """Cut `(..., H, W)` to a box, on the device of the model."""
        return box.cut(torch.from_numpy(slices)).to(self.imputer.fabric.device)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence of G consecutive intervals, N slices in each, inside a box.

    Attributes:
        intervals: Which intervals of the stack.
        box: Rows and columns; outside, all is background.
        features: By name, each `(G, N, h, w)`, none below 0.
        values: What the model and each fallback method impute, intensities, `(G, N, C, h, w)`.
        visible: Where all of these lie within the window, `(G, N, h, w)`: elsewhere the evidence
            is clipped and does not show their differences.
    """

    intervals: slice
    box: Box
    features: dict[str, Tensor]
    values: dict[str, Tensor]
    visible: Tensor


@torch.no_grad()
def gather_evidence(imputed: Imputed) -> Iterator[Evidence]:
    """Gather the evidence of a whole stack, some intervals at a time."""
    errors = imputed.synthetic.error
    shown = imputed.shown(torch.from_numpy(imputed.stack.image))
    for intervals, box in batches(shown, imputed.imputer.batch_pixels):
        error = None if errors is None else imputed.inside(errors[intervals], box)
        yield evidence_of(imputed, Made(intervals, box, error))


@torch.no_grad()
def evidence_of(imputed: Imputed, part: Made) -> Evidence:
    """Gather the evidence of some intervals.

    Args:
        imputed: Of which these are imputed already.
        part: The intervals.

    Returns:
        The features are `apart`, how far both neighbours' predictions differ; `predicted`, the
        error that the model itself expects, if it does, and `around`, the same of its
        surroundings; `cycle`, if it was measured, carried linearly from the acquired slices;
        `change` and `bend`, how far the neighbours differ, and how unevenly the four slices around
        change, each largest half-way; `noise`, the latter averaged over the box, at every t;
        `texture`, how far the pixels of both neighbours are from the mean of the four beside them;
        `from_linear` and `from_cubic`, how far the model is from these.
    """
    intervals, box, _ = part
    values = {MODEL: imputed.inside(imputed.synthetic.image[intervals], box)}
    values |= {name: _interpolate(name, imputed, intervals, box) for name in FALLBACKS}
    made = imputed.shown(values[MODEL])
    features = _own(imputed, part) | _neighbours(imputed, intervals, box)
    for name in FALLBACKS:
        apart = (made - imputed.shown(values[name])).abs().mean(2)
        features[f"from_{name}"] = imputed.smooth(apart)
    visible = torch.stack([imputed.visible(each) for each in values.values()]).all(0)
    return Evidence(intervals, box, features, values, visible)


def _own(imputed: Imputed, part: Made) -> dict[str, Tensor]:
    """Return the evidence from the model's own outputs."""
    intervals, box, predicted = part
    agreed = imputed.inside(imputed.synthetic.confidence[intervals], box)
    features = {"apart": imputed.smooth(1 - agreed)}
    if predicted is not None:
        features["predicted"] = imputed.smooth(predicted)
        features["around"] = imputed.smooth(predicted, _AROUND)
    if imputed.cycle is not None:
        error = imputed.smooth(imputed.inside(imputed.cycle, box))
        t = _positions(imputed, error)
        features["cycle"] = torch.lerp(error[intervals, None], error[1:][intervals, None], t)
    return features


def _neighbours(imputed: Imputed, intervals: slice, box: Box) -> dict[str, Tensor]:
    """Return the evidence from the changes between the acquired slices around some intervals."""
    start = max(intervals.start - 1, 0)
    intensities = imputed.inside(imputed.stack.image[start : intervals.stop + 2], box)
    own = slice(intervals.start - start, intervals.stop - start)
    shown = imputed.shown(intensities)
    steps, uneven = shown.diff(dim=0), _texture(shown[own.start : own.stop + 1])
    bends = steps.diff(dim=0).abs().mean(1) if len(steps) > 1 else torch.zeros_like(steps[:, 0])
    places = torch.arange(own.start, own.stop)
    before, after = ((places + k).clamp(0, len(bends) - 1) for k in (-1, 0))
    bend = ((bends[before] + bends[after]) / 2)[:, None]
    change = steps[own].abs().mean(1)[:, None]
    texture = (uneven[:-1] + uneven[1:])[:, None] / 2
    t = _positions(imputed, intensities)
    half_way = 4 * t * (1 - t)
    return {
        "texture": imputed.smooth(texture).expand(-1, len(t), -1, -1),
        "change": half_way * imputed.smooth(change),
        "bend": half_way * imputed.smooth(bend),
        "noise": bend.mean((2, 3), keepdim=True).expand(-1, len(t), *bend.shape[2:]),
    }


def _texture(shown: Tensor) -> Tensor:
    """How far pixels are from the mean of the four beside them, `(D, C, h, w)` to `(D, h, w)`."""
    padded = F.pad(shown, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    columns = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return (shown - (rows + columns) / 4).abs().mean(1)


def _positions(imputed: Imputed, like: Tensor) -> Tensor:
    """Positions t, `(N, 1, 1)`."""
    return like.new_tensor(imputed.positions)[:, None, None]


def _interpolate(kind: str, imputed: Imputed, intervals: slice, box: Box) -> Tensor:
    """Impute by a classical method, intensities, `(G, N, C, h, w)`."""
    count, slices = len(imputed.positions), imputed.stack.image
    weights = slice_weights(kind, len(slices), imputed.positions)
    own = weights[intervals.start * count : intervals.stop * count]
    used = np.flatnonzero(np.abs(own).max(0) > NO_WEIGHT)
    near = slice(used[0], used[-1] + 1)
    intensities = imputed.inside(slices[near], box)
    made = torch.from_numpy(own[:, near]).to(intensities) @ intensities.flatten(1)
    return made.view(-1, count, *intensities.shape[1:])


@torch.no_grad()
def cycle_error(imputer: FlowImputer, stack: Stack, synthetic: SyntheticSlices) -> Floats:
    """Re-predict every inner acquired slice half-way between its two synthetic neighbours.

    Wrong motion does not lead back to the slice where it began. A model that sees the slices beyond
    its two inputs gets those three steps of the dense grid away.

    Args:
        imputer: The model that imputed the stack.
        stack: At least three slices.
        synthetic: At least one synthetic slice in each interval.

    Returns:
        Absolute difference from what was acquired, mean over the model's channels in [0, 1]
        units, `(D, H, W)`; the first and the last slice take that of their neighbour.
    """
    dense = torch.from_numpy(_dense(stack, synthetic)[:, : imputer.model.channels])
    step = synthetic.image.shape[1] + 1
    errors = torch.zeros(len(stack.image), *dense.shape[2:])
    for intervals, box in batches(dense[step::step], imputer.batch_pixels):
        inner = torch.arange(intervals.start, intervals.stop) + 1
        errors[inner] = box.paste(_repredict(imputer, dense, inner * step, box))
    errors[0], errors[-1] = errors[1], errors[-2]
    return errors.numpy()


def _repredict(imputer: FlowImputer, dense: Tensor, places: Tensor, box: Box) -> Tensor:
    """Error of slices `(n,)` of the dense grid, predicted from those next to them, in a box."""

    def at(offset: int) -> Tensor:
        beyond = (places + offset < 0) | (places + offset >= len(dense))
        found = torch.where(beyond, places + int(np.sign(offset)), places + offset)
        chosen = box.cut(dense)[found].to(imputer.fabric.device)
        return chosen.contiguous(memory_format=torch.channels_last)

    pair = Pair(at(-1), at(1), torch.cat([at(-3), at(3)], 1))
    _, motion = next(motions(imputer, pair, [0.5]))
    predicted = motion.render(pair.first, pair.last)
    return (predicted - at(0)).abs().mean(1).cpu()


def _dense(stack: Stack, synthetic: SyntheticSlices) -> Floats:
    """Acquired and synthetic slices in order, in [0, 1], `((D - 1) · (N + 1) + 1, C, H, W)`."""
    depth, count = len(stack.image), synthetic.image.shape[1]
    intensities = np.empty(((depth - 1) * (count + 1) + 1, *stack.image.shape[1:]), np.float32)
    intensities[:: count + 1] = stack.image
    for n in range(count):
        intensities[n + 1 :: count + 1] = synthetic.image[:, n]
    return Stack(intensities, stack.window).normalised()
