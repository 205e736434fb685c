"""What speaks for and against synthetic voxels, once a stack is imputed.

Every piece of evidence is an absolute difference of intensities in [0, 1] (the window), averaged
over the model's channels: an error that might have been made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from slicefill.imputation.methods.classical import slice_weights
from slicefill.imputation.methods.slice_imputation.foreground import Box, batches
from slicefill.imputation.methods.slice_imputation.infer import Engine
from slicefill.imputation.methods.slice_imputation.window import through_window
from slicefill.types import Floats, Stack, SyntheticSlices

MODEL, *ALTERNATIVES = METHODS = ("model", "linear", "cubic")
"""Whose error is estimated: the model, and the classical methods that it may yield to."""


@dataclass(frozen=True, eq=False)
class Imputed:
    """An imputed stack, seen through its window.

    Attributes:
        engine: The model; only its channels tell of confidence.
        stack: D slices.
        synthetic: Of that model.
        positions: N values of t in (0, 1).
        smoothing: Radius of the square over which differences are averaged, pixels.
        cycle: Error of every acquired slice when predicted back, `(D, H, W)`; None: not measured.
    """

    engine: Engine
    stack: Stack
    synthetic: SyntheticSlices
    positions: Sequence[float]
    smoothing: int
    cycle: Floats | None

    def shown(self, stored: Tensor) -> Tensor:
        """Show stored numbers `(..., C, h, w)` in [0, 1], those of the model's channels."""
        return self._scaled(stored).clamp(0, 1)

    def visible(self, stored: Tensor) -> Tensor:
        """Where the window shows stored numbers as they are, in all its channels, `(..., h, w)`."""
        scaled = self._scaled(stored)
        return ((scaled >= 0) & (scaled <= 1)).all(-3)

    def _scaled(self, stored: Tensor) -> Tensor:
        channels = self.engine.model.channels
        window = torch.from_numpy(self.stack.window[:channels]).to(stored)
        return through_window(stored[..., :channels, :, :], window)

    def smooth(self, differences: Tensor) -> Tensor:
        """Average `(..., h, w)` over squares; at the border over what there is of them."""
        size = 2 * self.smoothing + 1
        flat = differences.reshape(-1, 1, *differences.shape[-2:])
        mean = F.avg_pool2d(flat, size, 1, self.smoothing, count_include_pad=False)
        return mean.view(differences.shape)

    def inside(self, slices: Floats, box: Box) -> Tensor:
        """Cut `(..., H, W)` to a box, on the device of the engine."""
        return box.cut(torch.from_numpy(slices)).to(self.engine.fabric.device)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of the intervals `intervals`, inside a box; G intervals, N slices in each.

    Attributes:
        intervals: Which intervals of the stack.
        box: Rows and columns; outside, all is background.
        features: By name, each `(G, N, h, w)`, in [0, 1].
        values: What the model and each alternative fill in, stored numbers, `(G, N, C, h, w)`.
        visible: Where all of these lie within the window, `(G, N, h, w)`: elsewhere the evidence
            does not show how far they differ.
    """

    intervals: slice
    box: Box
    features: dict[str, Tensor]
    values: dict[str, Tensor]
    visible: Tensor


@torch.no_grad()
def gather(imputed: Imputed) -> Iterator[Evidence]:
    """Gather the evidence, some intervals at a time.

    Yields:
        The features are `apart`, how far both neighbours' predictions differ; `predicted`, the
        error that the model itself expects, if it does; `cycle`, if it was measured, carried
        linearly from the acquired slices; `change` and `bend`, how far the neighbours differ, and
        how unevenly the four slices around change, each largest half-way; `noise`, the
        latter averaged over the box, at every t; `from_linear` and `from_cubic`, how far the
        model is from these.
    """
    shown = imputed.shown(torch.from_numpy(imputed.stack.image))
    for intervals, box in batches(shown, imputed.engine.batch_pixels):
        stored = imputed.inside(imputed.stack.image, box)
        values = {MODEL: imputed.inside(imputed.synthetic.image[intervals], box)}
        values |= {name: _interpolate(name, stored, imputed, intervals) for name in ALTERNATIVES}
        made = imputed.shown(values[MODEL])
        features = _own(imputed, intervals, box) | _neighbours(imputed, stored, intervals)
        for name in ALTERNATIVES:
            apart = (made - imputed.shown(values[name])).abs().mean(2)
            features[f"from_{name}"] = imputed.smooth(apart)
        visible = torch.stack([imputed.visible(each) for each in values.values()]).all(0)
        yield Evidence(intervals, box, features, values, visible)


def _own(imputed: Imputed, intervals: slice, box: Box) -> dict[str, Tensor]:
    """What the model says of its own slices."""
    synthetic = imputed.synthetic
    features = {"apart": imputed.smooth(1 - imputed.inside(synthetic.confidence[intervals], box))}
    if synthetic.error is not None:
        features["predicted"] = imputed.inside(synthetic.error[intervals], box)
    if imputed.cycle is not None:
        error = imputed.smooth(imputed.inside(imputed.cycle, box))
        t = _positions(imputed, error)
        features["cycle"] = torch.lerp(error[intervals, None], error[1:][intervals, None], t)
    return features


def _neighbours(imputed: Imputed, stored: Tensor, intervals: slice) -> dict[str, Tensor]:
    """How far, and how unevenly, the acquired slices `(D, C, h, w)` change."""
    steps = imputed.shown(stored).diff(dim=0)
    bends = steps.diff(dim=0).abs().mean(1) if len(steps) > 1 else torch.zeros_like(steps[:, 0])
    places = torch.arange(intervals.start, intervals.stop)
    before, after = ((places + k).clamp(0, len(bends) - 1) for k in (-1, 0))
    bend = ((bends[before] + bends[after]) / 2)[:, None]
    change = steps[intervals].abs().mean(1)[:, None]
    t = _positions(imputed, stored)
    half_way = 4 * t * (1 - t)
    return {
        "change": half_way * imputed.smooth(change),
        "bend": half_way * imputed.smooth(bend),
        "noise": bend.mean((2, 3), keepdim=True).expand(-1, len(t), *bend.shape[2:]),
    }


def _positions(imputed: Imputed, like: Tensor) -> Tensor:
    """Positions t, `(N, 1, 1)`."""
    return like.new_tensor(imputed.positions)[:, None, None]


def _interpolate(kind: str, stored: Tensor, imputed: Imputed, intervals: slice) -> Tensor:
    """What a classical method fills in, stored numbers, `(G, N, C, h, w)`."""
    count = len(imputed.positions)
    weights = torch.from_numpy(slice_weights(kind, len(stored), imputed.positions)).to(stored)
    own = weights[intervals.start * count : intervals.stop * count]
    return (own @ stored.flatten(1)).view(-1, count, *stored.shape[1:])
