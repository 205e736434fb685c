"""One epoch of training: groups in an order that the seed and the epoch fix."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from lightning_fabric import Fabric
from tqdm.auto import tqdm

from slicefill.params import OptimisationParams, SynthesisParams
from slicefill.synthesis.critics import Critics
from slicefill.synthesis.groups import Batch, ViewSummary, batch_groups, draw_groups, load_batch
from slicefill.synthesis.state import Training
from slicefill.synthesis.steps import (
    Features,
    Judged,
    classifier_step,
    critic_step,
    synthesis_step,
    synthesis_terms,
    synthesise,
)
from slicefill.synthesis.views import ViewCache


@dataclass(frozen=True)
class Setting:
    """What stays the same over the epochs of a run.

    Attributes:
        fabric: Device and precision.
        params: Every number.
        features: φ of the perceptual loss, or None.
        cache: The training cases.
        summaries: What drawing groups needs to know of them.
    """

    fabric: Fabric
    params: SynthesisParams
    features: Features | None
    cache: ViewCache
    summaries: Mapping[str, Mapping[str, ViewSummary]]


def run_epoch(training: Training, setting: Setting) -> dict[str, float]:
    """Train for one epoch and return the mean of every logged term.

    Raises:
        ValueError: If no case gives a group.
        FloatingPointError: If a term stops being finite.
    """
    params, options = setting.params, setting.params.optimisation
    rng = np.random.default_rng((options.seed, training.epoch))
    groups = draw_groups(setting.summaries, params.groups, options.groups_per_epoch, rng)
    require_groups(len(groups), "training", params)
    batches = batch_groups(groups, options.batch, setting.cache.room, rng)
    apart = training.epoch < params.pretraining_epochs
    if training.epoch == params.pretraining_epochs:
        training.step = 0  # pretraining does not use up the schedule of the synthesis network
    if params.pretraining_epochs and training.critics and not apart:
        cast(Critics, training.critics.network).freeze_classifier()
    logged: dict[str, list[float]] = defaultdict(list)
    title = f"epoch {training.epoch + 1}/{params.pretraining_epochs + options.epochs}"
    with tqdm(batches, desc=title, unit="batch", mininterval=1) as bar:
        for members in bar:
            batch = load_batch(members, setting.cache, params.groups, rng)
            _set_learning_rates(training, options, len(batches))
            step = _train_classifier if apart else _train_all
            for name, value in step(training, setting, batch.to(setting.fabric.device)).items():
                logged[name].append(value)
            bar.set_postfix({name: f"{v[-1]:.3g}" for name, v in logged.items() if "raw" in name})
            training.step += 1
    training.epoch += 1
    return {name: float(np.mean(values)) for name, values in logged.items()}


def _train_classifier(training: Training, setting: Setting, batch: Batch) -> dict[str, float]:
    if training.critics is None:
        return {}
    return classifier_step(setting.fabric, training.critics, batch)


def _train_all(training: Training, setting: Setting, batch: Batch) -> dict[str, float]:
    """Alternate: critics on what the network makes now, then the network against them."""
    lambdas = setting.params.lambdas
    made = synthesise(training.synthesis.network, batch)
    logged, critics = {}, None
    if training.critics is not None:
        logged = critic_step(setting.fabric, training.critics, batch, made)
        critics = training.critics.network
    terms = synthesis_terms(Judged(batch, made, critics, setting.features), lambdas)
    return logged | synthesis_step(setting.fabric, training.synthesis, terms, lambdas)


def _set_learning_rates(training: Training, options: OptimisationParams, per_epoch: int) -> None:
    factor = schedule(training.step, options.epochs * per_epoch, options)
    rates = {"synthesis": options.learning_rate, "critics": options.critic_learning_rate}
    for name, rate in rates.items():
        side = getattr(training, name)
        for group in side.optimiser.param_groups if side else ():
            group["lr"] = rate * factor


def schedule(step: int, steps: int, options: OptimisationParams) -> float:
    """Factor on the learning rate: linear warm-up, then constant or down a half cosine to 1 %.

    Stateless, so that a resumed run needs no scheduler state.
    """
    warm = min(1.0, (step + 1) / (options.warmup_steps + 1))
    if options.decay == "constant":
        return warm
    done = min(1.0, step / max(1, steps))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def require_groups(count: int, what: str, params: SynthesisParams) -> None:
    """Refuse a set of cases that gives no group.

    Raises:
        ValueError: Saying what is needed.
    """
    if count == 0:
        msg = (
            f"no {what} group: synthesis.groups.inner {params.groups.inner} needs cases of at "
            f"least {params.groups.inner[0] + 2} slices that show more than background; lower "
            "inner, use in_plane groups, or look at the cases and their split"
        )
        raise ValueError(msg)
