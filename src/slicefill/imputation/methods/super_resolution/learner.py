"""Training EDSR and RCAN on L1, ESRGAN against its critic after that."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm.auto import tqdm

from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures
from slicefill.imputation.methods.super_resolution.infer import SuperResolutionNetwork, validate
from slicefill.imputation.methods.super_resolution.networks import (
    Critic,
    build_generator,
    critic_loss,
    generator_loss,
)
from slicefill.imputation.methods.super_resolution.pairs import Pairs, StackCache, draw_pairs
from slicefill.imputation.methods.super_resolution.params import Params
from slicefill.training.fit import State
from slicefill.training.hardware import first_for_all, mean_over_processes, rank_slice
from slicefill.training.optimised_network import OptimisedNetwork, optimise_network

_VALIDATION_PIXELS = 2**20  # in one batch


class SuperResolutionLearner:
    """A generator, and a critic where it is ESRGAN's (`slicefill.training.fit.Learner`).

    The first `epochs` minimise L1. Those after them, ESRGAN's `adversarial_epochs`, minimise
    perceptual + adversarial + pixel loss as weighted in the parameters (ESRGAN, eq. 3), the
    critic learning in turn. The published features are VGG19's conv5_4, ours VGG16's conv4_3 as
    elsewhere in this package. With `perceptual: none` that loss is left out and the pixel loss
    alone holds the generator to the truth: its published weight of 0.01 is then far too small.
    Adam's learning rate is halved after half of the L1 epochs and stays so.

    Of several processes each takes its share of a batch that all draw alike. The critic sees the
    share alone: its batch norm, and the averages that it compares with, are of one process.
    """

    def __init__(
        self,
        fabric: Fabric,
        training: StackCache,
        validation: StackCache,
        params: Params,
    ) -> None:
        """Build networks and optimisers from the seed."""
        self._fabric, self._params = fabric, params
        self._training, self._validation = training, validation
        torch.manual_seed(params.seed)
        generator = build_generator(params.network, training.channels, params.factor)
        self.sides = {"generator": self._side(generator)}
        self._features: PerceptualFeatures | None = None
        if has_adversary(params):
            critic = Critic(training.channels, params.network.width)
            self.sides["critic"] = self._side(critic)
            if params.perceptual != "none" and params.optimisation.perceptual > 0:
                self._features = PerceptualFeatures(params.perceptual).to(fabric.device)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for `steps_per_epoch` steps; return the mean of every term."""
        options = self._params.optimisation
        self._set_learning_rate(options.learning_rate * (0.5 if 2 * epoch >= options.epochs else 1))
        step = self._l1_step if epoch < options.epochs else self._adversarial_step
        logged: dict[str, list[float]] = defaultdict(list)
        batches = draw_pairs(self._training, self._params, epoch, self._fabric.world_size)
        title, total = f"epoch {epoch + 1}", options.steps_per_epoch
        quiet = not self._fabric.is_global_zero
        with tqdm(batches, title, total, unit="batch", mininterval=1, disable=quiet) as bar:
            for pairs in bar:
                for name, value in step(self._share(pairs)).items():
                    logged[name].append(float(value.detach()))
        means = {name: float(np.mean(values)) for name, values in logged.items()}
        return mean_over_processes(self._fabric, means)

    def validate(self) -> dict[str, float]:
        """PSNR of the rows of held-out cases that were not acquired."""
        generator, factor = self.sides["generator"].network, self._params.factor
        channels = self._training.channels
        model = SuperResolutionNetwork(
            generator, channels, factor, self._fabric, _VALIDATION_PIXELS
        )
        return first_for_all(self._fabric, partial(validate, model, self._validation))

    def state(self) -> State:
        """Return networks and optimisers."""
        return {name: side.state() for name, side in self.sides.items()}

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        for name, side in self.sides.items():
            side.restore(state[name])

    def weights(self) -> Mapping[str, Tensor]:
        """Return the state dict of the generator."""
        weights: Mapping[str, Tensor] = self.sides["generator"].network.state_dict()
        return weights

    def _l1_step(self, pairs: Pairs) -> dict[str, Tensor]:
        generator = self.sides["generator"]
        pixel = F.l1_loss(generator.network(pairs.low), pairs.high)
        generator.update(self._fabric, pixel)
        return {"train/pixel": pixel}

    def _adversarial_step(self, pairs: Pairs) -> dict[str, Tensor]:
        """Generator first, then the critic on what it made, as published."""
        generator, critic = self.sides["generator"], self.sides["critic"]
        made = generator.network(pairs.low)
        critic.network.requires_grad_(False)
        with self._fabric.no_backward_sync(cast(Any, critic.network)):
            terms = self._terms(made, pairs.high)
        generator.update(self._fabric, torch.stack(list(terms.values())).sum())
        critic.network.requires_grad_(True)
        real, fake = critic.network(pairs.high), critic.network(made.detach())
        judged = critic_loss(real, fake)
        critic.update(self._fabric, judged)
        return {**{f"train/weighted/{k}": v for k, v in terms.items()}, "critic/loss": judged}

    def _terms(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        options, critic = self._params.optimisation, self.sides["critic"].network
        terms = {
            "pixel": options.pixel * F.l1_loss(made, real),
            "adversarial": options.adversarial * generator_loss(critic(real), critic(made)),
        }
        if self._features is not None:
            distance = F.l1_loss(self._features(made), self._features(real))
            terms["perceptual"] = options.perceptual * distance
        return terms

    def _side(self, network: nn.Module) -> OptimisedNetwork:
        rate = self._params.optimisation.learning_rate
        return optimise_network(self._fabric, network, rate, clip=None)

    def _set_learning_rate(self, rate: float) -> None:
        for side in self.sides.values():
            side.set_learning_rate(rate)

    def _share(self, pairs: Pairs) -> Pairs:
        mine = rank_slice(self._fabric)
        low, high = (part[mine].to(self._fabric.device) for part in pairs)
        return Pairs(low.contiguous(memory_format=torch.channels_last), high)


def has_adversary(params: Params) -> bool:
    """Whether the network is trained against a critic."""
    return params.network.kind == "esrgan" and params.optimisation.adversarial_epochs > 0
