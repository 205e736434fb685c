"""The synthesis network: it finds the motion between two slices and synthesises those between."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.frequency import FrequencyUNet
from slicefill.imputation.methods.slice_imputation.motion import (
    Flows,
    Motion,
    Pair,
    intermediate_flows,
    warp,
)
from slicefill.imputation.methods.slice_imputation.networks import build_unet
from slicefill.imputation.methods.slice_imputation.params import NetworkParams, Parts
from slicefill.types import Checkpoint

_ERROR_AT_START = -3.0  # before softplus: 0.05


class SynthesisModel(nn.Module):
    """Flow network, intermediate flows, and the optional refinement of Super-SloMo.

    Besides Super-SloMo's residual flows and visibility, refinement may output (our additions) a
    bounded residual for changes that no motion explains, a map of the weight of motion against
    linear interpolation, and the expected error. Both networks may see the slices beyond the two,
    as motion need not be constant.

    Args:
        channels: Image channels; all share one motion.
        params: Size and form.
        parts: Whether it has refinement, and with what; whether it sees the outer slices.
    """

    def __init__(self, channels: int, params: NetworkParams, parts: Parts) -> None:
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
                "residual": channels if parts.residual > 0 and not parts.frequency else 0,
                "moved": 1 if parts.mix else 0,
                "error": 1 if parts.error else 0,
            }
            inputs = 4 * channels + 8 + outer + (channels if parts.mix else 0)
            self.refinement = build_unet(inputs, sum(self.sizes.values()), params)
            if parts.frequency:
                self.refinement = FrequencyUNet(self.refinement, params.width, channels)
                self.sizes |= {"low": channels, "high": channels}

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
        residual, high = self._residual(part)
        return Motion(
            to_first + part["to_first"],
            to_last + part["to_last"],
            from_first / (from_first + from_last),
            residual,
            torch.sigmoid(part["moved"]) if self.parts.mix else None,
            t if self.parts.mix else None,
            F.softplus(part["error"] + _ERROR_AT_START) if self.parts.error else None,
            high,
        )

    def _residual(self, part: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """Bound the residual; where it has two parts, each by half, and return the high one."""
        bound = self.parts.residual
        if self.parts.frequency:
            low, high = (bound / 2 * torch.tanh(part[name]) for name in ("low", "high"))
            return low + high, high
        return (bound * torch.tanh(part["residual"]) if bound else None), None

    def forward(self, pair: Pair, t: Tensor) -> tuple[Flows, list[Motion]]:
        """Return the flows and the motion at each of the positions `t`, `(N,)` or `(N, B)`."""
        flows = self.flows(pair)
        return flows, [self.motion(pair, flows, at.view(-1, 1, 1, 1)) for at in t]

    def _run(self, network: nn.Module, x: Tensor) -> Tensor:
        """Pad to the network's multiple, never resize; flows leave in single precision.

        What the first layer will round is rounded before it is moved about: half the memory.
        """
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        height, width = x.shape[-2:]
        missing = (0, -width % self.multiple, 0, -height % self.multiple)
        output: Tensor = network(F.pad(x, missing, mode="replicate"))
        return output[..., :height, :width].float()


def load_model(checkpoint: Checkpoint) -> SynthesisModel:
    """Rebuild the synthesis network of a checkpoint, in evaluation mode.

    Args:
        checkpoint: With `channels`, `network` (`NetworkParams`), `parts` (`Parts`) and `weights`.
    """
    network = NetworkParams.model_validate(checkpoint["network"])
    model = SynthesisModel(
        checkpoint["channels"], network, Parts.model_validate(checkpoint["parts"])
    )
    model.load_state_dict(checkpoint["weights"])
    return model.eval()
