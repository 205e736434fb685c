"""Everything a training run is: networks, optimisers, progress; saved and restored whole."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from slicefill.imputation.methods.slice_imputation.critics import Critics
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.steps import Side
from slicefill.params import SynthesisParams
from slicefill.types import Checkpoint

State = dict[str, Any]
_HISTORY = "history"
_MINUTES = "minutes"


@dataclass
class Training:
    """A training run between two epochs.

    Attributes:
        synthesis: Synthesis network and its optimiser.
        critics: Discriminators, attention and classifier, or None if the variant has none.
        channels: Image channels.
        began: When it would have begun had it never been interrupted, by the monotonic clock, s.
        epoch: Epochs done.
        step: Steps done.
        best: Best validation so far: psnr, epoch, and the weights that reached it.
        history: One row per epoch and logged term.
    """

    synthesis: Side
    critics: Side | None
    channels: int
    began: float
    epoch: int = 0
    step: int = 0
    best: State = field(default_factory=lambda: {"psnr": float("-inf"), "epoch": 0})
    history: list[dict[str, float | str]] = field(default_factory=list)

    @property
    def minutes(self) -> float:
        """Time spent on it so far, in all runs."""
        return (time.monotonic() - self.began) / 60

    def state(self) -> State:
        """Return plain values and tensors that `restore` continues from."""
        sides = {"synthesis": self.synthesis, "critics": self.critics}
        return {
            "epoch": self.epoch,
            "step": self.step,
            "best": self.best,
            _HISTORY: self.history,
            _MINUTES: self.minutes,
            "sides": {
                name: {
                    "network": side.network.state_dict(),
                    "optimiser": side.optimiser.state_dict(),
                }
                for name, side in sides.items()
                if side is not None
            },
        }

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        self.epoch, self.step, self.best = state["epoch"], state["step"], state["best"]
        self.history = state[_HISTORY]
        # States written before it was there are of runs without a limit.
        self.began = time.monotonic() - 60 * state.get(_MINUTES, 0.0)
        for name, saved in state["sides"].items():
            side: Side = getattr(self, name)
            side.network.load_state_dict(saved["network"])
            side.optimiser.load_state_dict(saved["optimiser"])

    def log(self, values: dict[str, float]) -> None:
        """Add the values of the epoch just done to the history."""
        self.history += [{"epoch": self.epoch, "term": k, "value": v} for k, v in values.items()]

    def keep_best(self, scores: dict[str, float]) -> None:
        """Remember the weights if validation is the best so far."""
        if not scores["validation/psnr"] > self.best["psnr"]:  # nor is nan ever the best
            return
        weights = {
            name: {key: value.detach().cpu().clone() for key, value in part.state_dict().items()}
            for name, part in self._networks().items()
        }
        self.best = {
            "psnr": scores["validation/psnr"],
            "ssim": scores["validation/ssim"],
            "epoch": self.epoch,
            "weights": weights,
        }

    def _networks(self) -> dict[str, nn.Module]:
        critics = {} if self.critics is None else {"critics": self.critics.network}
        return {"synthesis": self.synthesis.network, **critics}


def start_training(
    fabric: Fabric, channels: int, params: SynthesisParams, start: Checkpoint | None = None
) -> Training:
    """Build networks and optimisers from the seed; the synthesis network from `start`, if given."""
    torch.manual_seed(params.optimisation.seed)
    options = params.optimisation
    model = SynthesisModel(channels, params.network, params.parts)
    if start is not None:
        model.load_state_dict(start["weights"])
    for part in options.frozen:
        model.get_submodule(part).requires_grad_(False)
    synthesis = set_up_side(fabric, model, options.learning_rate, options.gradient_clip)
    parts = params.parts
    critics = None
    if parts.global_discriminator or parts.local_discriminator:
        judges = Critics(channels, params.critic_width, parts)
        rate = options.critic_learning_rate
        critics = set_up_side(fabric, judges, rate, options.gradient_clip)
    return Training(synthesis, critics, channels, time.monotonic())


def set_up_side(fabric: Fabric, network: nn.Module, rate: float, clip: float | None) -> Side:
    """Give a network of slices its Adam, on the device of `fabric`."""
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    optimiser = torch.optim.Adam(learning, lr=rate, fused=True)
    wrapped, wrapped_optimiser = fabric.setup(network, optimiser)
    return Side(wrapped, wrapped_optimiser, clip)
