"""Two networks that learn by turns: one segments views, one aligns them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from slicefill.metrics.overlap import dice
from slicefill.registration.alignnet.drawing import Drawn, stacked
from slicefill.registration.alignnet.learner import BETAS, align_terms
from slicefill.registration.alignnet.network import AlignNet
from slicefill.registration.alignnet.params import Params as AlignParams
from slicefill.segmentation.objectives import dice_ce
from slicefill.training.fit import State
from slicefill.views.intertwined.cubes import LabelledCube
from slicefill.views.intertwined.losses import aligner_consistency, segmenter_consistency
from slicefill.views.intertwined.params import IntertwinedParams
from slicefill.views.intertwined.segmenter import Segmenter

Subject = Sequence[LabelledCube]


@dataclass(frozen=True, eq=False)
class Task:
    """What is learned from what.

    Attributes:
        training: The views of every subject, of one view or more.
        validation: The same of other subjects.
        params: Weights, rates, lengths.
        aligned: Of the aligner.
    """

    training: Sequence[Subject]
    validation: Sequence[Subject]
    params: IntertwinedParams
    aligned: AlignParams


@dataclass(frozen=True, eq=False)
class _Batch:
    first: Tensor
    second: Tensor
    labels: tuple[Tensor, Tensor]


class IntertwinedLearner:
    """The two networks with their optimisers (`slicefill.training.fit.Learner`)."""

    def __init__(
        self, segmenter: Segmenter, aligner: AlignNet, task: Task, device: torch.device
    ) -> None:
        """Take both networks to the device of the run, and give each its Adam."""
        self.networks = torch.nn.ModuleDict({"segmenter": segmenter, "aligner": aligner})
        self.networks.to(device)
        self._device = device
        self._segmenter, self._aligner, self._task = segmenter.eval(), aligner, task
        self._pairs = [pair for views in task.training for pair in permutations(views, 2)]
        self._optimisers = {
            name: torch.optim.Adam(network.parameters(), task.params.rate, BETAS)
            for name, network in self.networks.items()
        }

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Let the segmenter and the aligner take `steps_per_epoch` steps by turns."""
        params = self._task.params
        rng = np.random.default_rng((params.seed, epoch))
        logged: dict[str, list[float]] = {}
        first = epoch * params.steps_per_epoch
        steps = range(first, first + params.steps_per_epoch)
        for step in tqdm(steps, desc=f"intertwined, epoch {epoch + 1}", unit="step", mininterval=1):
            batch = self._draw(rng)
            for name, terms in (
                ("segmenter", self.segmenter_terms),
                ("aligner", self.aligner_terms),
            ):
                found = terms(batch)
                self._descend(name, found, params.rate * params.decay ** (step // params.every))
                for term, value in found.items():
                    logged.setdefault(f"train/{term}", []).append(value.item())
        return {name: float(np.mean(values)) for name, values in logged.items()}

    def segmenter_terms(self, batch: _Batch) -> dict[str, Tensor]:
        """L_seg2 = L_seg1 + α₁ L_cons1."""
        views, labels = torch.cat([batch.first, batch.second]), torch.cat(batch.labels)
        supervised = dice_ce(self._segmenter(views[:, :1]), labels, views[:, 1:])
        with torch.no_grad():
            found = self._found(batch)
        alike = segmenter_consistency(
            self._segmenter.probabilities, batch.first, batch.second, found
        )
        weight = self._task.params.alpha_segmenter
        return {"labels": supervised, "segmenter_consistency": weight * alike}

    def aligner_terms(self, batch: _Batch) -> dict[str, Tensor]:
        """L_align2 = L_align1 + α₂ L_cons2."""
        terms = align_terms(
            self._aligner, Drawn(batch.first, batch.second, None), self._task.aligned
        )
        alike = aligner_consistency(
            self._segmenter.probabilities, batch.first, batch.second, self._found(batch)
        )
        return {**terms, "aligner_consistency": self._task.params.alpha_aligner * alike}

    def _found(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Matrices from the first view to the second, and back."""
        one, other = batch.first[:, :1], batch.second[:, :1]
        return self._aligner(other, one), self._aligner(one, other)

    def _descend(self, name: str, terms: Mapping[str, Tensor], rate: float) -> None:
        optimiser = self._optimisers[name]
        for group in optimiser.param_groups:
            group["lr"] = rate
        self.networks.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        optimiser.step()

    def _draw(self, rng: np.random.Generator) -> _Batch:
        size = self._task.params.batch
        chosen = [self._pairs[number] for number in rng.integers(len(self._pairs), size=size)]
        sides = list(zip(*chosen, strict=True))
        first, second = (stacked([each.cube for each in side]) for side in sides)
        one, other = (
            torch.from_numpy(np.stack([each.label for each in side]))[:, None] for side in sides
        )
        to = self._device
        return _Batch(first.to(to), second.to(to), (one.to(to), other.to(to)))

    def validate(self) -> dict[str, float]:
        """Mean Dice over views of other subjects and classes, on cubes; none without any."""
        values = []
        with torch.inference_mode():
            for each in (view for subject in self._task.validation for view in subject):
                image = stacked([each.cube])[:, :1].to(self._device)
                found = self._segmenter(image)[0].argmax(0).cpu().numpy()
                values += [
                    dice((found == index) & (each.cube.field > 0), each.label == index)
                    for index in np.unique(each.label)[1:]
                ]
        return {"validation/dice": float(np.mean(values))} if values else {}

    def state(self) -> State:
        """Return networks and optimisers."""
        optimisers = {name: each.state_dict() for name, each in self._optimisers.items()}
        return {"networks": self.networks.state_dict(), "optimisers": optimisers}

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        self.networks.load_state_dict(state["networks"])
        for name, own in state["optimisers"].items():
            self._optimisers[name].load_state_dict(own)

    def weights(self) -> Mapping[str, Any]:
        """Return the state dicts of both, by name."""
        return {
            "segmenter": self._segmenter.network.state_dict(),
            "aligner": self._aligner.state_dict(),
        }
