"""How AlignNet learns: first motions that are known, then the likeness of what it has aligned."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from slicefill.registration.alignnet.drawing import Drawn, Pair, draw
from slicefill.registration.alignnet.losses import displacement, local_correlation
from slicefill.registration.alignnet.network import warp
from slicefill.registration.alignnet.params import Params
from slicefill.training.fit import State

BETAS = (0.5, 0.999)  # of Adam, as the published code


class AlignLearner:
    """A network, its optimiser and its pairs (`slicefill.training.fit.Learner`)."""

    def __init__(
        self, network: nn.Module, pairs: Sequence[Pair], params: Params, device: torch.device
    ) -> None:
        """Take the network to the device of the run."""
        self.network = network.to(device)
        self._pairs, self._params, self._device = pairs, params, device
        self._optimiser = torch.optim.Adam(network.parameters(), params.rate, BETAS)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for `steps_per_epoch` steps; return the mean of every loss."""
        params = self._params
        rng = np.random.default_rng((params.seed, epoch))
        logged: dict[str, list[float]] = {}
        first = epoch * params.steps_per_epoch
        steps = range(first, first + params.steps_per_epoch)
        for step in tqdm(steps, desc=f"alignnet, epoch {epoch + 1}", unit="step", mininterval=1):
            known = step < params.supervised_steps
            drawn = draw(self._pairs, params, rng, known=known)
            terms = align_terms(self.network, _on(drawn, self._device), params)
            self._optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(torch.stack(list(terms.values())).sum())
            self._optimiser.step()
            for name, value in terms.items():
                logged.setdefault(f"train/{name}", []).append(value.item())
        return {name: float(np.mean(values)) for name, values in logged.items()}

    def validate(self) -> dict[str, float]:
        """Score nothing: the last epoch is kept, as no truth is known."""
        return {}

    def state(self) -> State:
        """Return network and optimiser."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])

    def weights(self) -> Mapping[str, Any]:
        """Return the state dict of the network."""
        weights: Mapping[str, Any] = self.network.state_dict()
        return weights


def align_terms(network: nn.Module, drawn: Drawn, params: Params) -> dict[str, Tensor]:
    """Return the weighted losses of one pass: L_align1, or of a motion that is known.

    Reference:
        SuperMask, eq. (1), without the loss of masks (λ₂), which made no significant difference.
    """
    fixed, moving = drawn.fixed[:, :1], drawn.moving[:, :1]
    found, terms = network(moving, fixed), {}
    if params.identity_weight > 0:
        itself = warp(fixed, network(fixed, fixed))
        terms["identity"] = params.identity_weight * ((itself - fixed) ** 2).mean()
    if drawn.truth is not None:
        return {"motion": displacement(found, drawn.truth), **terms}
    moved = warp(drawn.moving, found)
    inside = ((drawn.fixed[:, 1:] > 0.5) & (moved[:, 1:] > 0.5)).float()
    alike = local_correlation(fixed, moved[:, :1], inside, params.window)
    return {"similarity": -alike, **terms}


def _on(drawn: Drawn, device: torch.device) -> Drawn:
    truth = None if drawn.truth is None else drawn.truth.to(device)
    return Drawn(drawn.fixed.to(device), drawn.moving.to(device), truth)
