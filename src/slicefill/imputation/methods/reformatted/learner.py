"""The network of reformatted planes learns from patches, one epoch at a time."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from slicefill.imputation.methods.reformatted.network import PlaneNetwork, neighbouring
from slicefill.imputation.methods.reformatted.params import ReformattedParams
from slicefill.imputation.methods.reformatted.patches import (
    PatchBatch,
    VolumePool,
    cut_batch,
    draw_batch,
    read_volume,
)
from slicefill.training.fit import State
from slicefill.training.optimised_network import optimise_network
from slicefill.types import Promise

_LEAST_RATE = 0.02  # of the learning rate, at the end
_SCORED = (2, 4)  # factors that held-out volumes are scored at
_BLUNT = 1e-4  # squared errors below it count as squares, those above as their roots
_TINY = 1e-12


@dataclass(frozen=True)
class PlaneData:
    """Cases whose every slice is known, beside the photographs."""

    training: Mapping[str, Promise]
    validation: Mapping[str, Promise]


class PlaneLearner:
    """Training of the network (`slicefill.training.fit.Learner`).

    What is validated, and what the result is, is the running mean of the weights.

    Args:
        fabric: Device and precision.
        data: The volumes.
        params: Every number of the run.
    """

    def __init__(self, fabric: Fabric, data: PlaneData, params: ReformattedParams) -> None:
        options = params.optimisation
        self._fabric, self._params, self._step = fabric, params, 0
        torch.manual_seed(options.seed)
        network = PlaneNetwork(params.network)
        rate, clip = options.learning_rate, options.gradient_clip
        self._trained = optimise_network(fabric, network, rate, clip)
        mean = get_ema_multi_avg_fn(options.average)  # type: ignore[no-untyped-call]
        self._mean = AveragedModel(network, multi_avg_fn=mean)
        self._pool = VolumePool(data.training, params)
        names = sorted(data.validation)
        self._held_out = [read_volume(data.validation[name], params) for name in names]

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch and return the mean of every logged term."""
        options = self._params.optimisation
        rng = np.random.default_rng((options.seed, epoch))
        volumes = self._pool.of_epoch(epoch)
        logged: dict[str, list[float]] = defaultdict(list)
        for _ in tqdm(range(options.steps_per_epoch), desc=f"epoch {epoch + 1}", mininterval=60):
            self._trained.set_learning_rate(options.learning_rate * self.schedule())
            batch = draw_batch(volumes, self._params, rng)
            for name, value in self._train_step(batch).items():
                logged[name].append(value)
            self._step += 1
        return {name: float(np.mean(values)) for name, values in logged.items()}

    def validate(self) -> dict[str, float]:
        """Score planes of held-out volumes: gain over linear interpolation, dB."""
        network = cast(PlaneNetwork, self._mean.module.eval())
        errors: dict[int, list[float]] = {factor: [_TINY, _TINY] for factor in _SCORED}
        for volume in self._held_out:
            for factor in _SCORED:
                span = (len(volume) - 1) // factor * factor + 1
                for axis in (1, 2):
                    planes = volume[:span].movedim(axis, 0)
                    batch = cut_batch(neighbouring(planes, network.planes), factor)
                    with torch.no_grad(), self._fabric.autocast():
                        made = network(batch.acquired, batch.positions)
                    for n, each in enumerate((made, linear(batch))):
                        errors[factor][n] += float((each - batch.truth).square().sum())
        gains = {f: 10 * float(np.log10(plain / own)) for f, (own, plain) in errors.items()}
        scores = {f"validation/gain/x{factor}": gain for factor, gain in gains.items()}
        return {**scores, "validation/gain": float(np.mean([*gains.values()]))}

    def state(self) -> State:
        """Return both networks, the optimiser and the number of steps."""
        mean = self._mean.state_dict()
        return {"step": self._step, "trained": self._trained.state(), "mean": mean}

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        self._step = state["step"]
        self._trained.restore(state["trained"])
        self._mean.load_state_dict(state["mean"])

    def weights(self) -> dict[str, Any]:
        """Return the running mean of the weights."""
        return dict(self._mean.module.state_dict())

    def schedule(self) -> float:
        """Factor on the learning rate: a short rise, then half a cosine to the last step."""
        options = self._params.optimisation
        steps = options.epochs * options.steps_per_epoch
        return rate_factor(self._step, steps, options.warmup_steps)

    def _train_step(self, batch: PatchBatch) -> dict[str, float]:
        made = self._trained.network(batch.acquired, batch.positions)
        squares = (made.float() - batch.truth).square()
        loss = blunt_mean(squares)
        self._trained.update(self._fabric, loss)
        self._mean.update_parameters(cast(torch.nn.Module, self._trained.network.module))
        plain = (linear(batch) - batch.truth).square().mean()
        terms = {"rec": loss, "square": squares.mean(), "linear_square": plain}
        return {f"train/{name}": float(term.detach()) for name, term in terms.items()}


def rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Factor on the learning rate: a short rise, then half a cosine to the last step."""
    warm = min(1.0, (step + 1) / (warmup_steps + 1))
    fallen = (1 + float(np.cos(np.pi * (step / steps)))) / 2
    return warm * (_LEAST_RATE + (1 - _LEAST_RATE) * fallen)


def blunt_mean(squares: torch.Tensor) -> torch.Tensor:
    """Mean over squared errors, the loss: large ones count as their roots."""
    return (squares + _BLUNT).sqrt().mean()


def linear(batch: PatchBatch) -> torch.Tensor:
    """Interpolate the rows of patches linearly, `(B, D - 1, N, W)`."""
    own = batch.acquired[:, batch.acquired.shape[1] // 2]
    first, last = own[:, :-1], own[:, 1:]
    return torch.stack([(1 - t) * first + t * last for t in batch.positions], 2)
