"""The inter-slice synthesis network: two slices in, the slices between them out."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.params import NetworkParams, Variant
from slicefill.synthesis.networks import UNet
from slicefill.synthesis.warping import intermediate_flows, warp


class Flows(NamedTuple):  # Fabric converts the precision of tuples, not of frozen dataclasses
    """The two flows between the inputs, F_{0→N+1} and F_{N+1→0}, each `(B, 2, H, W)`, pixels."""

    forward: Tensor
    backward: Tensor


class Motion(NamedTuple):
    """How the slice at one position is taken from both inputs.

    Attributes:
        to_first: F̂_{t→0}, `(B, 2, H, W)`, pixels.
        to_last: F̂_{t→N+1}.
        first_share: Weight of the first input in the blend, broadcastable to `(B, 1, H, W)`;
            1 - t without refinement (eq. 3), shifted by visibility with it.
        residual: What is added to the blended intensities, `(B, C, H, W)` in [0, 1] units; None
            where all intensities come from the two slices, as in the paper.
    """

    to_first: Tensor
    to_last: Tensor
    first_share: Tensor
    residual: Tensor | None = None

    def blend(self, first: Tensor, last: Tensor) -> Tensor:
        """Warp and blend anything that lies on the two slices: eq. (3) and (4)."""
        warped_first, warped_last = warp(first, self.to_first), warp(last, self.to_last)
        return torch.lerp(warped_last, warped_first, self.first_share)

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

    The refinement may have a bounded residual for what no motion explains, which is ours.

    Args:
        channels: Image channels; all share one motion.
        params: Size and form.
        parts: Whether it has refinement and a residual.
    """

    def __init__(self, channels: int, params: NetworkParams, parts: Variant) -> None:
        super().__init__()
        self.channels = channels
        self.form = params.time_form
        self.multiple = 2**params.depth
        self.bound = parts.residual
        self.flow_network = UNet(2 * channels, 4, params.width, params.depth)
        self.refinement = None
        if parts.refinement:
            outputs = 5 + (channels if parts.residual > 0 else 0)
            self.refinement = UNet(4 * channels + 8, outputs, params.width, params.depth)

    def flows(self, first: Tensor, last: Tensor) -> Flows:
        """Estimate the motion between two slices `(B, C, H, W)` in [0, 1], of any size."""
        output = self._run(self.flow_network, torch.cat([first, last], 1))
        return Flows(output[:, :2], output[:, 2:])

    def motion(self, first: Tensor, last: Tensor, flows: Flows, t: Tensor) -> Motion:
        """Approximate the motion from position t, `(B, 1, 1, 1)` in (0, 1), to both slices."""
        to_first, to_last = intermediate_flows(flows.forward, flows.backward, t, self.form)
        if self.refinement is None:
            return Motion(to_first, to_last, 1 - t)
        seen = [
            first, last, flows.forward, flows.backward,
            to_first, to_last, warp(first, to_first), warp(last, to_last),
        ]  # fmt: skip
        output = self._run(self.refinement, torch.cat(seen, 1))
        visible = torch.sigmoid(output[:, 4:5])
        from_first, from_last = (1 - t) * visible, t * (1 - visible)
        share = from_first / (from_first + from_last)
        residual = self.bound * torch.tanh(output[:, 5:]) if self.bound > 0 else None
        return Motion(to_first + output[:, :2], to_last + output[:, 2:4], share, residual)

    def forward(self, first: Tensor, last: Tensor, t: Tensor) -> tuple[Flows, list[Motion]]:
        """Return the flows and the motion at each of the positions `t`, `(N,)`."""
        flows = self.flows(first, last)
        return flows, [self.motion(first, last, flows, position) for position in t.view(-1, 1)]

    def _run(self, network: nn.Module, x: Tensor) -> Tensor:
        """Pad to the network's multiple, never resize; flows leave in single precision."""
        height, width = x.shape[-2:]
        missing = (0, -width % self.multiple, 0, -height % self.multiple)
        output: Tensor = network(F.pad(x, missing, mode="replicate"))
        return output[..., :height, :width].float()
