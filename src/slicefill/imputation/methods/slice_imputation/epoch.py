"""One epoch of training: groups in an order that the seed and the epoch fix."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from lightning_fabric import Fabric
from torch import Tensor
from tqdm.auto import tqdm

from slicefill.imputation.methods.slice_imputation.critics import Critics
from slicefill.imputation.methods.slice_imputation.groups import (
    ViewSummary,
    batch_groups,
    draw_groups,
    load_batch,
)
from slicefill.imputation.methods.slice_imputation.state import Training
from slicefill.imputation.methods.slice_imputation.steps import (
    Features,
    Judged,
    RankBatch,
    Side,
    classifier_step,
    critic_step,
    synthesis_step,
    synthesis_terms,
    synthesise,
    take_rank_batch,
)
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.params import OptimisationParams, SynthesisParams
from slicefill.training.hardware import first_for_all, mean_over_processes


@dataclass(frozen=True)
class Setting:
    """What stays the same over the epochs of a run.

    Attributes:
        fabric: Device and precision, and which of the processes this is.
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


Step = Callable[[Training, Setting, RankBatch], dict[str, float]]


def run_epoch(training: Training, setting: Setting) -> dict[str, float]:
    """Train for one epoch and return the mean of every logged term, over all processes.

    Every process draws the same groups with the same random numbers, in batches for all, and
    takes its share of each: what is learned is what one process learns from the larger batch.
    Where time is limited, the epoch ends with it.

    Raises:
        ValueError: If no case gives a group.
        FloatingPointError: If a term stops being finite.
    """
    params, options, fabric = setting.params, setting.params.optimisation, setting.fabric
    rng = np.random.default_rng((options.seed, training.epoch))
    groups = draw_groups(setting.summaries, params.groups, options.groups_per_epoch, rng)
    require_groups(len(groups), "training", params)
    processes = fabric.world_size
    batches = batch_groups(groups, options.batch * processes, setting.cache.room, rng)
    step = _begin_stage(training, setting)
    logged: dict[str, list[float]] = defaultdict(list)
    title = f"epoch {training.epoch + 1}/{params.pretraining_epochs + options.epochs}"
    quiet = not fabric.is_global_zero
    with tqdm(batches, desc=title, unit="batch", mininterval=1, disable=quiet) as bar:
        for members in bar:
            spent = time_spent(training, fabric, options)
            if spent >= 1:
                break
            steps = training.step / (options.epochs * len(batches))
            _set_learning_rates(training, options, max(spent, steps))
            whole = load_batch(members, setting.cache, params.groups, rng).to(fabric.device)
            rank_batch = take_rank_batch(whole, fabric.global_rank, processes)
            for name, value in step(training, setting, rank_batch).items():
                logged[name].append(value)
            bar.set_postfix({name: f"{v[-1]:.3g}" for name, v in logged.items() if "raw" in name})
            training.step += 1
    training.epoch += 1
    means = {name: float(np.mean(values)) for name, values in logged.items()}
    if options.minutes is not None:
        means["train/steps"] = float(training.step)
    return mean_over_processes(fabric, means)


def _begin_stage(training: Training, setting: Setting) -> Step:
    """Choose what a step of this epoch trains: attention and classifier apart, or all."""
    pretraining, critics = setting.params.pretraining_epochs, training.critics
    if training.epoch == pretraining:
        training.step = 0  # pretraining does not use up the schedule of the synthesis network
    if not pretraining or critics is None:
        return _train_all
    apart = training.epoch < pretraining
    network = cast(Critics, critics.network.module)
    network.begin_stage(apart)
    # Wrapped anew, for distributed training waits for the gradients of all that learned then.
    critics.network = setting.fabric.setup_module(network)
    return _train_classifier if apart else _train_all


def _train_classifier(
    training: Training, setting: Setting, rank_batch: RankBatch
) -> dict[str, float]:
    return classifier_step(setting.fabric, cast(Side, training.critics), rank_batch)


def _train_all(training: Training, setting: Setting, rank_batch: RankBatch) -> dict[str, float]:
    """Alternate: critics on what the network makes now, then the network against them."""
    lambdas, batch = setting.params.lambdas, rank_batch.batch
    network = training.synthesis.network
    made = synthesise(network, batch)
    logged, judge = {}, None
    if training.critics is not None:
        logged = critic_step(setting.fabric, training.critics, rank_batch, made)
        judge = partial(_judge, setting.fabric, training.critics)
    terms = synthesis_terms(Judged(batch, network, made, judge, setting.features), lambdas)
    weighed = rank_batch.weigh(terms)
    return logged | synthesis_step(setting.fabric, training.synthesis, weighed, lambdas)


def _judge(fabric: Fabric, critics: Side, slices: Tensor) -> dict[str, Tensor]:
    """Judge without averaging the gradients of the critics, who do not learn from it."""
    with fabric.no_backward_sync(cast(Any, critics.network)):
        logits: dict[str, Tensor] = critics.network(slices)
    return logits


def time_spent(training: Training, fabric: Fabric, options: OptimisationParams) -> float:
    """Share of its time that a run has used up, for all processes alike; 0 without a limit."""
    if options.minutes is None:
        return 0.0
    return first_for_all(fabric, lambda: training.minutes) / options.minutes


def _set_learning_rates(training: Training, options: OptimisationParams, done: float) -> None:
    factor = schedule(training.step, done, options)
    rates = {"synthesis": options.learning_rate, "critics": options.critic_learning_rate}
    for name, rate in rates.items():
        side = getattr(training, name)
        for group in side.optimiser.param_groups if side else ():
            group["lr"] = rate * factor


def schedule(step: int, done: float, options: OptimisationParams) -> float:
    """Factor on the learning rate: linear warm-up, then constant or down a half cosine to 1 %.

    Stateless, so that a resumed run needs no scheduler state.

    Args:
        step: Number of the step, from 0.
        done: Share of the run that is over.
        options: Warm-up and decay.
    """
    warm = min(1.0, (step + 1) / (options.warmup_steps + 1))
    if options.decay == "constant":
        return warm
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


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
