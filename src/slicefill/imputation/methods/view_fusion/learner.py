"""View fusion learns from windows of volumes, one epoch at a time."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from slicefill.imputation.methods.view_fusion.model import build_fusion
from slicefill.imputation.methods.view_fusion.params import ViewFusionParams
from slicefill.imputation.methods.view_fusion.windows import (
    VolumePool,
    WindowBatch,
    cut_batch,
    draw_batch,
    read_volume,
)
from slicefill.training.fit import State, Timer
from slicefill.training.optimised_network import OptimisedNetwork, optimise_network
from slicefill.types import Checkpoint, Promise

_LEAST_RATE = 0.01  # of the learning rate, at the end of its decay
_SCORED = (2, 4)  # factors that held-out volumes are scored at
_MOST = 60.0  # dB counted for a perfect slice, whose PSNR is infinite


@dataclass(frozen=True)
class FusionData:
    """What view fusion learns from.

    Attributes:
        training: Cases whose every slice is known.
        validation: Those that choose the epoch.
        motion: Checkpoint of Slice Imputation, whose slices are a candidate; its weights stay.
    """

    training: Mapping[str, Promise]
    validation: Mapping[str, Promise]
    motion: Checkpoint


class FusionLearner:
    """Training of view fusion (`slicefill.training.fit.Learner`).

    What is validated, and what the result is, is the running mean of the weights.

    Args:
        fabric: Device and precision.
        data: The volumes.
        params: Every number of the run.
        timer: Limit on the time of the run; the learning rate falls at its end.
    """

    def __init__(
        self, fabric: Fabric, data: FusionData, params: ViewFusionParams, timer: Timer | None
    ) -> None:
        options = params.optimisation
        self._fabric, self._params, self._timer, self._step = fabric, params, timer, 0
        torch.manual_seed(options.seed)
        model = build_fusion(data.motion, params.network)
        self._trained = optimise_network(
            fabric, model, options.learning_rate, options.gradient_clip
        )
        mean = get_ema_multi_avg_fn(options.average)  # type: ignore[no-untyped-call]
        self._mean = AveragedModel(model, multi_avg_fn=mean)
        self._pool = VolumePool(data.training, params)
        self._held_out = _held_out(data.validation, params, model.multiple)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch and return the mean of every logged term."""
        options = self._params.optimisation
        rng = np.random.default_rng((options.seed, epoch))
        volumes = self._pool.of_epoch(epoch)
        logged: dict[str, list[float]] = defaultdict(list)
        for _ in tqdm(range(options.steps_per_epoch), desc=f"epoch {epoch + 1}", mininterval=60):
            spent = 0.0 if self._timer is None else self._timer.spent()
            if spent >= 1:
                break
            rate = options.learning_rate * self.schedule(spent)
            self._trained.set_learning_rate(rate)
            batch = draw_batch(volumes, self._params.windows, rng)
            for name, value in self._train_step(batch).items():
                logged[name].append(value)
            self._step += 1
        means = {name: float(np.mean(values)) for name, values in logged.items()}
        return {**means, "train/steps": float(self._step)}

    def validate(self) -> dict[str, float]:
        """Score held-out windows by PSNR, intensities in [0, 1], beside linear interpolation."""
        model = self._mean.module.eval()
        values: dict[str, list[float]] = defaultdict(list)
        for factor, batch in self._held_out:
            with torch.no_grad(), self._fabric.autocast():
                made, _ = model(batch.stack, batch.fixed, batch.t)
            values[f"psnr/x{factor}"].append(_psnr(made, batch.truth))
            values["psnr/linear"].append(_psnr(batch.fixed[:, :1], batch.truth))
        means = {f"validation/{name}": float(np.mean(v)) for name, v in values.items()}
        means["validation/psnr"] = float(np.mean([means[f"validation/psnr/x{f}"] for f in _SCORED]))
        return means

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

    def _train_step(self, batch: WindowBatch) -> dict[str, float]:
        network: OptimisedNetwork = self._trained
        made, expected = network.network(batch.stack, batch.fixed, batch.t)
        error = (made - batch.truth).abs()
        bound = expected.clamp(min=1e-3)
        likelihood = (error.detach() / bound + bound.log()).mean()
        network.update(self._fabric, error.mean() + self._params.optimisation.error * likelihood)
        self._mean.update_parameters(_unwrapped(network))
        linear = (batch.fixed[:, :1] - batch.truth).abs().mean()
        terms = {"rec": error.mean(), "error": likelihood, "linear": linear}
        return {f"train/{name}": float(term.detach()) for name, term in terms.items()}

    def schedule(self, spent: float) -> float:
        """Factor on the learning rate: warm-up, constant, and down at the end of the time."""
        options = self._params.optimisation
        warm = min(1.0, (self._step + 1) / (options.warmup_steps + 1))
        if options.decay == 0 or self._timer is None:
            return warm
        return warm * max(_LEAST_RATE, min(1.0, (1 - spent) / options.decay))


def _unwrapped(network: OptimisedNetwork) -> torch.nn.Module:
    return cast(torch.nn.Module, network.network.module)


def _held_out(
    cases: Mapping[str, Promise], params: ViewFusionParams, multiple: int
) -> list[tuple[int, WindowBatch]]:
    """Cut held-out volumes at every scored factor, and to rows and columns of the multiple."""
    rng = np.random.default_rng(params.optimisation.seed)
    batches = []
    for name in sorted(cases):
        volume = read_volume(cases[name], params).astype(np.float32)
        height, width = (size - size % multiple for size in volume.shape[1:3])
        for factor in _SCORED:
            span = ((len(volume) - 1) // factor) * factor + 1
            batches.append((factor, cut_batch([volume[:span, :height, :width]], factor, rng)))
    return batches


def _psnr(made: torch.Tensor, truth: torch.Tensor) -> float:
    error = float((made - truth).square().mean())
    return _MOST if error == 0 else min(_MOST, -10 * float(np.log10(error)))
