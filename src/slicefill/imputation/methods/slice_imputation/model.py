"""The inter-slice synthesis network: two slices in, the slices between them out."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.networks import build_unet
from slicefill.imputation.methods.slice_imputation.warping import intermediate_flows, warp
from slicefill.params import NetworkParams, Variant

_ERROR_AT_START = -3.0  # before softplus: 0.05


class Flows(NamedTuple):  # Fabric converts the precision of tuples, not of frozen dataclasses
    """The two flows between the inputs, F_{0→N+1} and F_{N+1→0}, each `(B, 2, H, W)`, pixels."""

    forward: Tensor
    backward: Tensor


class Pair(NamedTuple):
    """Two neighbouring slices, and those beyond them.

    Attributes:
        first: `(B, C, H, W)`, intensities in [0, 1].
        last: The same of the other slice.
        outer: The slice before the first and the one after the last, `(B, 2 C, H, W)`, as far
            away as the two are from each other; None, or the slice itself, where there is none.
    """

    first: Tensor
    last: Tensor
    outer: Tensor | None = None

    def surroundings(self) -> Tensor:
        """The outer slices; at the ends of a scan those of the pair stand for them."""
        return torch.cat([self.first, self.last], 1) if self.outer is None else self.outer


class Motion(NamedTuple):
    """How the slice at one position is taken from both inputs.

    Attributes:
        to_first: F̂_{t→0}, `(B, 2, H, W)`, pixels.
        to_last: F̂_{t→N+1}.
        first_weight: Weight of the first input in the blend, broadcastable to `(B, 1, H, W)`;
            1 - t without refinement (eq. 3), shifted by visibility with it.
        residual: What is added to the blended intensities, `(B, C, H, W)` in [0, 1] units; None
            where all intensities come from the two slices, as in the paper.
        moved: How far motion is believed, `(B, 1, H, W)` in (0, 1); the rest is blended in
            place, `1 - t` of the first slice. None: wholly, as in the paper.
        t: Position in (0, 1), broadcastable; needed where `moved` is given.
        error: Expected absolute error, `(B, 1, H, W)` in [0, 1] units; None where the model does
            not predict it.
    """

    to_first: Tensor
    to_last: Tensor
    first_weight: Tensor
    residual: Tensor | None = None
    moved: Tensor | None = None
    t: Tensor | None = None
    error: Tensor | None = None

    def blend(self, first: Tensor, last: Tensor) -> Tensor:
        """Warp and blend anything that lies on the two slices: eq. (3) and (4)."""
        warped_first, warped_last = warp(first, self.to_first), warp(last, self.to_last)
        warped = torch.lerp(warped_last, warped_first, self.first_weight)
        if self.moved is None or self.t is None:
            return warped
        return torch.lerp(torch.lerp(first, last, self.t), warped, self.moved)

    def render(self, first: Tensor, last: Tensor) -> Tensor:
        """Warp and blend two slices in [0, 1], `(B, C, H, W)`, and add the residual."""
        blended = self.blend(first, last)
        return blended if self.residual is None else blended + self.residual

    def agreement(self, first: Tensor, last: Tensor) -> Tensor:
        """How far both slices predict the same, `(B, H, W)` in [0, 1]; 1 where they agree.

        What a residual adds is predicted by neither and counts as disagreement.

        Args:
            first: Intensities in [0, 1], `(B, C, H, W)`.
            last: The same of the other slice.
        """
        apart = (warp(first, self.to_first) - warp(last, self.to_last)).abs()
        if self.residual is not None:
            apart = apart + self.residual.abs()
        return (1 - apart.mean(1)).clamp(min=0)


class SynthesisModel(nn.Module):
    """Flow network, intermediate flows, and the optional refinement of Super-SloMo.

    What refinement may have beside Super-SloMo's residual flows and visibility is ours: a bounded
    residual for what no motion explains, a map of where motion is believed, a prediction of the
    error. Both networks may see the slices beyond the two, whose motion need not be constant.

    Args:
        channels: Image channels; all share one motion.
        params: Size and form.
        parts: Whether it has refinement, and with what; whether it sees the outer slices.
    """

    def __init__(self, channels: int, params: NetworkParams, parts: Variant) -> None:
        super().__init__()
        self.channels = channels
        self.form = params.time_form
        self.multiple = params.block * 2**params.depth
        self.parts = parts
        outer = 2 * channels if parts.context else 0
        self.flow_network = build_unet(2 * channels + outer, 4, params)
        self.refinement = None
        if parts.refinement:
            self.sizes = {
                "to_first": 2,
                "to_last": 2,
                "visible": 1,
                "residual": channels if parts.residual > 0 else 0,
                "moved": 1 if parts.mix else 0,
                "error": 1 if parts.error else 0,
            }
            inputs = 4 * channels + 8 + outer + (channels if parts.mix else 0)
            self.refinement = build_unet(inputs, sum(self.sizes.values()), params)

    def flows(self, pair: Pair) -> Flows:
        """Estimate the motion between two slices of any size."""
        seen = [pair.first, pair.last]
        if self.parts.context:
            seen.append(pair.surroundings())
        output = self._run(self.flow_network, torch.cat(seen, 1))
        return Flows(output[:, :2], output[:, 2:])

    def motion(self, pair: Pair, flows: Flows, t: Tensor) -> Motion:
        """Approximate the motion from position t, `(B, 1, 1, 1)` in (0, 1), to both slices."""
        to_first, to_last = intermediate_flows(flows.forward, flows.backward, t, self.form)
        if self.refinement is None:
            return Motion(to_first, to_last, 1 - t)
        first, last, _ = pair
        seen = [
            first, last, flows.forward, flows.backward,
            to_first, to_last, warp(first, to_first), warp(last, to_last),
        ]  # fmt: skip
        if self.parts.context:
            seen.append(pair.surroundings())
        if self.parts.mix:
            seen.append(torch.lerp(first, last, t))
        found = self._run(self.refinement, torch.cat(seen, 1))
        maps = torch.split(found, list(self.sizes.values()), 1)
        part = dict(zip(self.sizes, maps, strict=True))
        visible = torch.sigmoid(part["visible"])
        from_first, from_last = (1 - t) * visible, t * (1 - visible)
        return Motion(
            to_first + part["to_first"],
            to_last + part["to_last"],
            from_first / (from_first + from_last),
            self.parts.residual * torch.tanh(part["residual"]) if self.parts.residual else None,
            torch.sigmoid(part["moved"]) if self.parts.mix else None,
            t if self.parts.mix else None,
            F.softplus(part["error"] + _ERROR_AT_START) if self.parts.error else None,
        )

    def forward(self, pair: Pair, t: Tensor) -> tuple[Flows, list[Motion]]:
        """Return the flows and the motion at each of the positions `t`, `(N,)` or `(N, B)`."""
        flows = self.flows(pair)
        return flows, [self.motion(pair, flows, at.view(-1, 1, 1, 1)) for at in t]

    def _run(self, network: nn.Module, x: Tensor) -> Tensor:
        """Pad to the network's multiple, never resize; flows leave in single precision."""
        height, width = x.shape[-2:]
        missing = (0, -width % self.multiple, 0, -height % self.multiple)
        output: Tensor = network(F.pad(x, missing, mode="replicate"))
        return output[..., :height, :width].float()
