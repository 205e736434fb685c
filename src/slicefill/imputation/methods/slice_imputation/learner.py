"""The synthesis network and its critics learn from training groups, one epoch at a time."""

import math
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from slicefill.imputation.methods.slice_imputation.critics import Critics
from slicefill.imputation.methods.slice_imputation.groups import (
    batch_groups,
    draw_groups,
    load_batch,
    require_groups,
)
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.params import OptimisationParams, SynthesisParams
from slicefill.imputation.methods.slice_imputation.steps import (
    RankBatch,
    classifier_step,
    critic_step,
    gradient_shares,
    synthesis_step,
    synthesis_terms,
    take_rank_batch,
)
from slicefill.imputation.methods.slice_imputation.synthesis import synthesise
from slicefill.imputation.methods.slice_imputation.training_set import TrainingSet, validate
from slicefill.training.fit import State, Timer
from slicefill.training.hardware import first_for_all, mean_over_processes
from slicefill.training.optimised_network import OptimisedNetwork, optimise_network

_SHARED_EVERY = 50  # steps between two measurements of the gradient shares; the first is measured


class SynthesisLearner:
    """Training of the synthesis network and its critics (`slicefill.training.fit.Learner`).

    The first `pretraining_epochs` train classifier and attention alone. In those after them every
    step alternates: the critics on what the network makes now, then the network against them.

    Every process draws the same groups with the same random numbers, in batches for all, and
    takes its part of each: what is learned is what one process learns from the larger batch.
    """

    def __init__(
        self,
        fabric: Fabric,
        training_set: TrainingSet,
        params: SynthesisParams,
        timer: Timer | None = None,
    ) -> None:
        """Build networks and optimisers from the seed.

        Args:
            fabric: Device, precision and processes.
            training_set: Views and groups; its `start` replaces the random weights.
            params: Every number of the run.
            timer: Limit on the time of the run; the learning rate decays with it.
        """
        self._fabric, self._set = fabric, training_set
        self._params, self._timer = params, timer
        self._step = 0
        torch.manual_seed(params.optimisation.seed)
        self.synthesis = self._build_synthesis()
        self.critics = self._build_critics()
        features = training_set.features
        self._features = None if features is None else features.to(fabric.device)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for one epoch and return the mean of every logged term, over all processes.

        Where time is limited, the epoch ends with it.

        Raises:
            ValueError: If no case gives a group.
            FloatingPointError: If a term stops being finite.
        """
        params, options, fabric = self._params, self._params.optimisation, self._fabric
        rng = np.random.default_rng((options.seed, epoch))
        groups = draw_groups(self._set.summaries, params.groups, options.groups_per_epoch, rng)
        require_groups(len(groups), "training", params)
        size = options.batch * fabric.world_size
        batches = batch_groups(groups, size, self._set.cache.room, rng)
        apart = self._begin_stage(epoch)
        logged: dict[str, list[float]] = defaultdict(list)
        title = f"epoch {epoch + 1}/{params.pretraining_epochs + options.epochs}"
        quiet = not fabric.is_global_zero
        with tqdm(batches, desc=title, unit="batch", mininterval=1, disable=quiet) as bar:
            for number, members in enumerate(bar):
                spent = 0.0 if self._timer is None else self._timer.spent()
                if spent >= 1:
                    break
                steps = self._step / (options.epochs * len(batches))
                self._set_learning_rates(max(spent, steps))
                whole = load_batch(members, self._set.cache, params.groups, rng).to(fabric.device)
                batch = take_rank_batch(whole, fabric)
                values = self._train_step(batch, apart)
                if number % _SHARED_EVERY == 0 and not apart:
                    values |= self._measure_shares(batch)
                for name, value in values.items():
                    logged[name].append(value)
                shown = {name: f"{v[-1]:.3g}" for name, v in logged.items() if "raw" in name}
                bar.set_postfix(shown)
                self._step += 1
        means = {name: float(np.mean(values)) for name, values in logged.items()}
        if self._timer is not None:
            means["train/steps"] = float(self._step)
        return mean_over_processes(fabric, means)

    def validate(self) -> dict[str, float]:
        """Score the held-out groups, on rank 0 for all processes."""
        network, held_out = self.synthesis.network, self._set.held_out
        return first_for_all(self._fabric, partial(validate, network, held_out, self._set.scored))

    def state(self) -> State:
        """Return networks, optimisers and the number of steps."""
        return {"step": self._step, **{n: part.state() for n, part in self._networks().items()}}

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        self._step = state["step"]
        for name, part in self._networks().items():
            part.restore(state[name])

    def weights(self) -> dict[str, dict[str, Any]]:
        """Return the state dicts of `synthesis` and, if there are any, of `critics`."""
        return {name: part.network.state_dict() for name, part in self._networks().items()}

    def _networks(self) -> dict[str, OptimisedNetwork]:
        critics = {} if self.critics is None else {"critics": self.critics}
        return {"synthesis": self.synthesis, **critics}

    def _build_synthesis(self) -> OptimisedNetwork:
        params, options = self._params, self._params.optimisation
        model = SynthesisModel(self._set.cache.channels, params.network, params.parts)
        if self._set.start is not None:
            model.load_state_dict(self._set.start["weights"])
        for part in options.frozen:
            model.get_submodule(part).requires_grad_(False)
        return optimise_network(self._fabric, model, options.learning_rate, options.gradient_clip)

    def _build_critics(self) -> OptimisedNetwork | None:
        params, options = self._params, self._params.optimisation
        if not params.adversarial:
            return None
        critics = Critics(
            self._set.cache.channels, params.critic_width, params.parts, params.lambdas
        )
        rate = options.critic_learning_rate
        return optimise_network(self._fabric, critics, rate, options.gradient_clip)

    def _begin_stage(self, epoch: int) -> bool:
        """Choose what learns in this epoch; whether it is attention and classifier alone."""
        pretraining = self._params.pretraining_epochs
        if epoch == pretraining:
            self._step = 0  # pretraining does not use up the schedule of the synthesis network
        if not pretraining or self.critics is None:
            return False
        apart = epoch < pretraining
        network = cast(Critics, self.critics.network.module)
        network.begin_stage(apart)
        # Wrapped anew: distributed training waits for the gradients of all that learned then.
        self.critics.network = self._fabric.setup_module(network)
        return apart

    def _train_step(self, rank_batch: RankBatch, apart: bool) -> dict[str, float]:
        if apart:
            critics = cast(OptimisedNetwork, self.critics)
            return classifier_step(self._fabric, critics, rank_batch)
        made = synthesise(self.synthesis.network, rank_batch.batch)
        logged = {}
        if self.critics is not None:
            logged = critic_step(self._fabric, self.critics, rank_batch, made)
            made = replace(made, critics=self._criticise)
        made, lambdas = replace(made, features=self._features), self._params.lambdas
        weighed = rank_batch.weigh(synthesis_terms(made, lambdas))
        logged |= synthesis_step(self._fabric, self.synthesis, weighed, lambdas)
        return logged

    def _measure_shares(self, rank_batch: RankBatch) -> dict[str, float]:
        """Share of each term in the gradients of the synthesis network, on one batch."""
        network, lambdas = cast(nn.Module, self.synthesis.network.module), self._params.lambdas
        with self._fabric.autocast():
            made = synthesise(network, rank_batch.batch)
            critics = None if self.critics is None else self.critics.network.module
            made = replace(made, critics=cast(Any, critics), features=self._features)
            terms = rank_batch.weigh(synthesis_terms(made, lambdas))
        weighted = {name: lambdas[name] * term for name, term in terms.items()}
        shares = gradient_shares(weighted, network)
        return {f"train/share/{name}": share for name, share in shares.items()}

    def _criticise(self, *seen: Any) -> dict[str, Tensor]:
        """Return the critics' logits; they do not learn, so that no gradients are averaged."""
        network = cast(OptimisedNetwork, self.critics).network
        with self._fabric.no_backward_sync(cast(Any, network)):
            logits: dict[str, Tensor] = network(*seen)
        return logits

    def _set_learning_rates(self, done: float) -> None:
        options = self._params.optimisation
        factor = schedule(self._step, done, options)
        self.synthesis.set_learning_rate(options.learning_rate * factor)
        if self.critics is not None:
            self.critics.set_learning_rate(options.critic_learning_rate * factor)


def schedule(step: int, done: float, options: OptimisationParams) -> float:
    """Factor on the learning rate: linear warm-up, then constant or down a half cosine to 1 %.

    Stateless, so that a resumed run needs no scheduler state.

    Args:
        step: Number of the step, from 0.
        done: Fraction of the run that is over.
        options: Warm-up and decay.
    """
    warm = min(1.0, (step + 1) / (options.warmup_steps + 1))
    if options.decay == "constant":
        return warm
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
