"""The network that fuses candidates, led by what it sees across many slices."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.model import SynthesisModel, load_model
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.imputation.methods.view_fusion.networks import FusionHead, VolumeUNet
from slicefill.imputation.methods.view_fusion.params import FusionNetworkParams
from slicefill.training.optimised_network import lay_out
from slicefill.types import Checkpoint

_ERROR_AT_START = -3.0  # before softplus: 0.05
_AT_START = (0.0, 0.0, 1.0, 1.5)  # logits of the candidates, those of `FIXED` and motion


class ViewFusion(nn.Module):
    """Voxelwise mean of candidates and a bounded residual, led by a U-Net of the whole stack.

    Args:
        motion: A trained network of Slice Imputation; its slices are the last candidate, and its
            weights do not learn.
        params: Size of the networks.
    """

    start: Tensor

    def __init__(self, motion: SynthesisModel, params: FusionNetworkParams) -> None:
        super().__init__()
        self.motion = motion.requires_grad_(False)
        self.bound = params.residual
        self.volume = VolumeUNet(1, params.widths, params.blocks, params.block)
        self.multiple = self.volume.multiple
        self.reach = sum(params.blocks)  # slices that a neighbour's features depend on, each way
        count = len(_AT_START)
        self.head = FusionHead(params.widths[0], count, count + 2, params.head, params.block)
        self.register_buffer("start", torch.tensor(_AT_START))

    def forward(self, stack: Tensor, fixed: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Make one slice in every interval of stacks.

        Args:
            stack: Slices in [0, 1], `(B, 1, D, H, W)`; H and W are multiples of `multiple`.
            fixed: `fixed_candidates`, `(B (D - 1), 3, H, W)`.
            t: Positions of the slices, `(B (D - 1),)`.

        Returns:
            Slices and expected absolute errors, each `(B (D - 1), 1, H, W)`.
        """
        candidates = torch.cat([fixed, self.moved(stack, t)], 1)
        return self.fuse(self.between(stack), candidates, t)

    def between(self, stack: Tensor) -> Tensor:
        """Features of every interval, for all positions; `(B (D - 1), head, H / b, W / b)`."""
        layout = torch.channels_last_3d
        return self.head.between(self.volume(stack.contiguous(memory_format=layout)))

    @torch.no_grad()
    def moved(self, stack: Tensor, t: Tensor) -> Tensor:
        """Make the candidate of the network that does not learn, `(B (D - 1), 1, H, W)`."""
        pair = _pairs(stack)
        motion = self.motion.motion(pair, self.motion.flows(pair), t.view(-1, 1, 1, 1))
        return motion.render(pair.first, pair.last)

    def fuse(self, between: Tensor, candidates: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse candidates `(B (D - 1), 4, H, W)`; as `forward`."""
        found = self.head(between, candidates, t).float()
        logits, residual, error = found.split([candidates.shape[1], 1, 1], 1)
        weights = torch.softmax(logits + self.start[:, None, None], 1)
        blended = (weights * candidates).sum(1, keepdim=True)
        made = blended + self.bound * torch.tanh(residual)
        return made, F.softplus(error + _ERROR_AT_START)


def build_fusion(motion: Checkpoint, params: FusionNetworkParams) -> ViewFusion:
    """Build a network with random weights around a trained network of Slice Imputation."""
    model = ViewFusion(load_model(motion), params)
    lay_out(model)
    return model


def load_fusion(checkpoint: Mapping[str, Any]) -> ViewFusion:
    """Rebuild the network of a checkpoint, in evaluation mode."""
    own = {
        name.removeprefix("motion."): weight
        for name, weight in checkpoint["weights"].items()
        if name.startswith("motion.")
    }
    params = FusionNetworkParams.model_validate(checkpoint["network"])
    model = build_fusion({**checkpoint["motion"], "weights": own}, params)
    model.load_state_dict(checkpoint["weights"])
    return model.eval()


def _pairs(stack: Tensor) -> Pair:
    """Both neighbours of every interval and the slices beyond, `(B (D - 1), ...)`."""
    slices = stack.transpose(1, 2)
    wide = torch.cat([slices[:, :1], slices, slices[:, -1:]], 1)
    outer = torch.cat([wide[:, :-3], wide[:, 3:]], 2)
    parts = (slices[:, :-1], slices[:, 1:], outer)
    flat = (part.flatten(0, 1).contiguous(memory_format=torch.channels_last) for part in parts)
    return Pair(*flat)
