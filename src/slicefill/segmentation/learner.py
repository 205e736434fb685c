"""The learner behind the networks of our own: one optimiser, one objective, validation by Dice."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from slicefill.metrics.overlap import dice
from slicefill.params import SegmentationOptimisation
from slicefill.segmentation.interface import Objective, Predictor
from slicefill.segmentation.sampling import Sampler
from slicefill.segmentation.scans import ScanPromise
from slicefill.training.fit import State
from slicefill.training.hardware import first_for_all, mean_over_processes


@dataclass(frozen=True)
class Task:
    """What is learned from what.

    Attributes:
        sampler: Training scans.
        objective: What is minimised; draws from the sampler.
        validation: Held-out scans by case.
        classes: Ids in label maps, background first.
        seed: Of everything random.
    """

    sampler: Sampler
    objective: Objective
    validation: Mapping[str, ScanPromise]
    classes: tuple[int, ...]
    seed: int


class SegmentationLearner:
    """A network, its optimiser and its task (`slicefill.training.fit.Learner`)."""

    def __init__(
        self,
        fabric: Fabric,
        network: nn.Module,
        task: Task,
        options: SegmentationOptimisation,
        prepare: Callable[[nn.Module], Predictor],
    ) -> None:
        """Set up SGD; `prepare` makes the predictor of validation from the wrapped network."""
        optimiser = torch.optim.SGD(
            network.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            nesterov=options.momentum > 0,
            weight_decay=options.weight_decay,
        )
        self._fabric, self._task, self._options = fabric, task, options
        self.network, self._optimiser = fabric.setup(network, optimiser)
        self._predict = prepare(self.network)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for `steps_per_epoch` steps; return the mean of every term and of their sum."""
        options, rank = self._options, self._fabric.global_rank
        rng = np.random.default_rng((self._task.seed, epoch))
        torch.manual_seed(int(rng.integers(2**31)) + rank)  # dropout, different in each process
        self._task.sampler.begin_epoch(rng)
        self.network.train()
        logged: dict[str, list[float]] = defaultdict(list)
        title = f"epoch {epoch + 1}/{options.epochs}"
        steps = range(epoch * options.steps_per_epoch, (epoch + 1) * options.steps_per_epoch)
        for step in tqdm(steps, desc=title, unit="step", mininterval=1, disable=rank > 0):
            self._set_learning_rate(step)
            with self._fabric.autocast():
                terms = self._task.objective.terms(self.network, step, rng)
            self._descend(terms)
            self._task.objective.after_step(self.network, step)
            for name, value in terms.items():
                logged[f"train/{name}"].append(float(value.detach()))
        own = {name: float(np.mean(values)) for name, values in logged.items()}
        means = mean_over_processes(self._fabric, own)
        return {"train/loss": sum(means.values()), **means}

    def _descend(self, terms: Mapping[str, Tensor]) -> None:
        self._optimiser.zero_grad()
        self._fabric.backward(torch.stack(list(terms.values())).sum())
        clip = self._options.gradient_clip
        self._fabric.clip_gradients(self.network, self._optimiser, max_norm=clip)
        self._optimiser.step()

    def _set_learning_rate(self, step: int) -> None:
        options = self._options
        left = 1 - step / (options.epochs * options.steps_per_epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = options.learning_rate * left**options.power

    def validate(self) -> dict[str, float]:
        """Mean Dice over held-out scans and classes, on acquired slices."""
        return {"validation/dice": first_for_all(self._fabric, self._mean_dice)}

    def _mean_dice(self) -> float:
        values = []
        for promise in self._task.validation.values():
            scan = promise.make()
            scored = scan.acquired & scan.weight.any(axis=(1, 2))  # whose label is known
            found, truth = self._predict(scan).argmax(0)[scored], scan.label[scored]
            values += [
                dice(found == index, truth == identity)
                for index, identity in enumerate(self._task.classes)
                if index
            ]
        measured = [value for value in values if not np.isnan(value)]
        return float(np.mean(measured)) if measured else float("nan")

    def state(self) -> State:
        """Return network, optimiser and what the objective keeps."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "objective": self._task.objective.state(),
        }

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._task.objective.restore(state["objective"])

    def weights(self) -> Mapping[str, Any]:
        """Return the state dict of the network."""
        weights: Mapping[str, Any] = self.network.state_dict()
        return weights
