"""A network with its optimiser: one step down a loss, state, learning rate."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

NOT_FINITE = "lower the learning rate or the gradient clip, or set hardware.precision to 32-true"
"""What to do where a training diverges."""
_REMEMBERED = 0.98  # of the running norm, from step to step: a memory of about 50 steps


@dataclass
class OptimisedNetwork:
    """A network with its optimiser.

    Attributes:
        network: On the device of the run.
        optimiser: Of those of its weights that learn.
        gradient_clip: Bound on the global norm of the gradients, as a multiple of its running
            mean: so it binds alike whatever the loss is multiplied by. None: not clipped.
        running_norm: That mean; 0 before the first step, which is not clipped.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    gradient_clip: float | None
    running_norm: float = 0.0

    def update(self, fabric: Fabric, loss: Tensor) -> None:
        """Take one step down `loss`.

        Raises:
            FloatingPointError: If gradients that are to be clipped are not finite.
        """
        self.optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        if self.gradient_clip is not None:
            self._clip(fabric, self.gradient_clip)
        self.optimiser.step()

    def _clip(self, fabric: Fabric, multiple: float) -> None:
        bound = multiple * self.running_norm if self.running_norm > 0 else float("inf")
        found = fabric.clip_gradients(
            self.network, self.optimiser, max_norm=bound, error_if_nonfinite=False
        )
        norm = float(cast(Tensor, found))
        if not isfinite(norm):
            msg = f"the norm of the gradients is {norm}: expected a finite number; {NOT_FINITE}"
            raise FloatingPointError(msg)
        norm = min(norm, bound)  # an outlier does not raise the bound
        kept = _REMEMBERED if self.running_norm > 0 else 0.0
        self.running_norm = kept * self.running_norm + (1 - kept) * norm

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of all weights that learn."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def state(self) -> dict[str, Any]:
        """Return plain values and tensors that `restore` continues from."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "running_norm": self.running_norm,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.running_norm = state["running_norm"]


def optimise_network(
    fabric: Fabric, network: nn.Module, rate: float, clip: float | None
) -> OptimisedNetwork:
    """Give a network of slices its Adam, on the device of `fabric`.

    Args:
        fabric: Device, precision and processes.
        network: Weights that do not require a gradient are left as they are.
        rate: Learning rate.
        clip: As `OptimisedNetwork.gradient_clip`.
    """
    lay_out(network)
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    optimiser = torch.optim.Adam(learning, lr=rate, fused=True)
    wrapped, wrapped_optimiser = fabric.setup(network, optimiser)
    return OptimisedNetwork(wrapped, wrapped_optimiser, clip)


def lay_out(network: nn.Module) -> None:
    """Put the channels of every kernel last in memory, where convolutions are fastest."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weights in network.parameters():
        if weights.ndim in layouts:
            weights.data = weights.data.contiguous(memory_format=layouts[weights.ndim])
