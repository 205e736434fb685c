"""Probabilistic imputation learns from windows of known volumes, one epoch at a time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm.auto import tqdm

from slicefill.imputation.methods.probabilistic.drawing import (
    Sampler,
    draw_noise,
    draw_sample,
)
from slicefill.imputation.methods.probabilistic.features import CANDIDATES, NEAR
from slicefill.imputation.methods.probabilistic.losses import (
    divergence,
    error_likelihood,
    label_error,
    pyramid_error,
)
from slicefill.imputation.methods.probabilistic.network import ProbabilisticNetwork
from slicefill.imputation.methods.probabilistic.params import Params
from slicefill.imputation.methods.probabilistic.rest import Grain, find_grain
from slicefill.imputation.methods.probabilistic.spread import (
    AS_EXPECTED,
    Expected,
    SpreadPowers,
    expected_deviation,
    find_clues,
    find_spread,
    fit_spread,
)
from slicefill.imputation.methods.probabilistic.windows import KnownVolumes, Windows
from slicefill.training.fit import State
from slicefill.training.optimised_network import optimise_network
from slicefill.types import Floats

_LEAST = 1e-6  # mean squared error counted for a perfect case: 60 dB
_SCORED = 8  # most held-out cases that are validated after every epoch


class SamplingLearner:
    """Training of probabilistic imputation (`slicefill.training.fit.Learner`)."""

    def __init__(
        self,
        fabric: Fabric,
        training: KnownVolumes,
        validation: KnownVolumes,
        ids: Sequence[int],
        params: Params,
    ) -> None:
        self._fabric, self._params, self._ids = fabric, params, tuple(ids)
        self._training, self._validation = training, validation
        options = params.optimisation
        torch.manual_seed(options.seed)
        network = ProbabilisticNetwork(params.network, len(ids))
        self._shapes = network.shapes(params.windows.size)
        self._trained = optimise_network(
            fabric, network, options.learning_rate, options.gradient_clip
        )

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Train for `steps_per_epoch` steps; return the mean of every term."""
        options = self._params.optimisation
        rng = np.random.default_rng((options.seed, epoch))
        first, total = epoch * options.steps_per_epoch, options.epochs * options.steps_per_epoch
        logged: dict[str, list[float]] = defaultdict(list)
        self._trained.network.train()
        bar = tqdm(range(first, first + options.steps_per_epoch), f"epoch {epoch + 1}")
        for step in bar:
            falling = (1 + np.cos(np.pi * step / total)) / 2
            self._trained.set_learning_rate(options.learning_rate * float(falling))
            windows = self._training.draw(rng, self._params.windows.batch)
            terms = self._terms(windows, step / total, rng)
            self._trained.update(self._fabric, torch.stack([*terms.values()]).sum())
            for name, value in terms.items():
                logged[f"train/weighted/{name}"].append(float(value.detach()))
        return {name: float(np.mean(values)) for name, values in logged.items()}

    def _terms(self, windows: Windows, done: float, rng: np.random.Generator) -> dict[str, Tensor]:
        weights, device = self._params.loss, self._fabric.device
        given = windows.features.to(device)
        shape = (len(given),)
        noise = [
            torch.from_numpy(rng.standard_normal((*shape, *own), np.float32)).to(device)
            for own in self._shapes
        ]
        image = windows.image.to(device)
        with self._fabric.autocast():
            truth = None if rng.random() < weights.prior else windows.truth.to(device)
            found, drawn = self._trained.network(given, noise, truth)
        near = given[:, NEAR, None]
        between = (near > 0).float()
        rising = min(1.0, done / weights.warm_up) if weights.warm_up else 1.0
        told = weights.divergence * rising
        terms = {
            "image": weights.image * pyramid_error(found.image, image, near, weights),
            "error": weights.error * error_likelihood(found, image, between),
            "divergence": told * divergence(drawn, image.numel()),
        }
        if self._ids:
            own = label_error(found.fields, windows.label.to(device), between)
            terms["label"] = weights.label * own
        return terms

    def validate(self) -> dict[str, float]:
        """Score the mean of a few samples of held-out cases by PSNR, beside linear."""
        sampler = self._sampler(4)
        errors = []
        for key in self._held_out()[:_SCORED]:
            known = self._validation.get(*key)
            made, _, _ = predict(sampler, known.features, self._params.optimisation.seed)
            where = known.features[NEAR] > 0
            wrong = [image - known.truth[0] for image in (made, known.features[0])]
            errors.append([float(np.square(one)[where].mean()) for one in wrong])
        decibels = -10 * np.log10(np.maximum(errors, _LEAST)).mean(axis=0)
        own, linear = decibels.tolist()
        return {"validation/psnr": own, "validation/psnr_linear": linear}

    def _held_out(self) -> list[tuple[str, int]]:
        factors = sorted(set(self._params.windows.factors))
        return [(name, factor) for name in self._validation.names for factor in factors]

    def calibrate(self, weights: Mapping[str, Any]) -> tuple[SpreadPowers, Grain]:
        """Find what fits errors of held-out cases: powers of the spread, and the grain."""
        self._network().load_state_dict(weights)
        sampler = self._sampler(self._params.samples)
        seen = []
        for key in self._held_out()[:_SCORED]:
            known = self._validation.get(*key)
            made, deviation, _ = predict(sampler, known.features, self._params.optimisation.seed)
            where = (known.features[NEAR] > 0) & (known.features[:CANDIDATES].max(axis=0) > 0)
            expected = Expected(deviation, find_clues(known.features))
            seen.append((expected, made - known.truth[0], where))
        powers = fit_spread(seen)
        shares = [(error / find_spread(expected, powers), where) for expected, error, where in seen]
        return powers, find_grain(shares)

    def _sampler(self, samples: int) -> Sampler:
        return Sampler(
            self._network().eval(), self._ids, samples, AS_EXPECTED, (0, 0, 0), self._fabric
        )

    def _network(self) -> ProbabilisticNetwork:
        wrapped: Any = self._trained.network
        network: ProbabilisticNetwork = getattr(wrapped, "module", wrapped)
        return network

    def state(self) -> State:
        """Return network and optimiser."""
        return self._trained.state()

    def restore(self, state: State) -> None:
        """Continue from a state that `state` returned."""
        self._trained.restore(state)

    def weights(self) -> Mapping[str, Tensor]:
        """Return the state dict of the network."""
        return self._network().state_dict()


def predict(sampler: Sampler, features: Floats, seed: int) -> tuple[Floats, Floats, Floats]:
    """Return mean, expected and own standard deviation of the samples of a volume, `(S, H, W)`."""
    rng = np.random.default_rng(seed)
    size = features.shape[1:]
    noise = [draw_noise(sampler.network, size, rng) for _ in range(sampler.samples)]
    drawn = [draw_sample(sampler, features, one) for one in noise]
    images = np.stack([one.image for one in drawn])
    within = images.var(axis=0, ddof=1)
    errors = np.mean([np.square(one.error) for one in drawn], axis=0)
    return images.mean(axis=0), expected_deviation(within, errors), np.sqrt(within)
