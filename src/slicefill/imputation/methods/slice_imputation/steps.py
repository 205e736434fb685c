"""One optimisation step of each side: critics on eq. (13) and (14), synthesis on eq. (6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation import losses
from slicefill.imputation.methods.slice_imputation.critics import (
    adversarial,
    classification,
    critic_losses,
)
from slicefill.imputation.methods.slice_imputation.groups import Batch
from slicefill.imputation.methods.slice_imputation.model import Flows, Motion, Pair

Features = Callable[[Tensor], Tensor]


@dataclass
class Side:
    """A network with its optimiser."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    gradient_clip: float | None

    def update(self, fabric: Fabric, loss: Tensor) -> None:
        """Take one step down `loss`."""
        self.optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
        if self.gradient_clip is not None:
            fabric.clip_gradients(self.network, self.optimiser, max_norm=self.gradient_clip)
        self.optimiser.step()


@dataclass(frozen=True)
class RankBatch:
    """What one process takes of a batch.

    The weights are what its means count for, so that their mean over the processes is that of
    the whole batch, however it divides; all are 1 where one process takes it whole.

    Attributes:
        batch: Its groups, at least one.
        weight: Of means over groups; 0 where no group was left for it.
        labelled: Of means over the inner slices with a known Y.
    """

    batch: Batch
    weight: float
    labelled: float

    def weigh(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weigh loss terms; only `classifier` is a mean over labelled slices."""
        return {
            name: term * (self.labelled if name == "classifier" else self.weight)
            for name, term in terms.items()
        }


def take_rank_batch(whole: Batch, rank: int, processes: int) -> RankBatch:
    """Take every `processes`-th group of a batch, from number `rank` on.

    Example:
        >>> whole = Batch(torch.zeros(3, 3, 1, 2, 2), torch.tensor([[1.0], [0.0], [float("nan")]]))
        >>> [len(take_rank_batch(whole, rank, 2).batch.slices) for rank in (0, 1)]
        [2, 1]
        >>> [round(take_rank_batch(whole, rank, 2).weight, 3) for rank in (0, 1)]
        [1.333, 0.667]
    """
    mine = slice(rank, None, processes)
    count, known = len(whole.slices[mine]), ~whole.shows_object.isnan()
    taken = mine if count else slice(1)  # a process without a group repeats one, for nothing
    return RankBatch(
        whole.take(taken),
        processes * count / len(whole.slices),
        processes * int(known[mine].sum()) / max(1, int(known.sum())),
    )


@dataclass(frozen=True)
class Synthesis:
    """What the synthesis network made of a batch."""

    flows: Flows
    motions: list[Motion]
    slices: Tensor  # Î_1 … Î_N, (B, N, C, h, w)


def synthesise(network: nn.Module, batch: Batch) -> Synthesis:
    """Synthesise the inner slices of a batch: eq. (1) to (3)."""
    flows, motions = network(batch.pair, batch.positions)
    slices = torch.stack([motion.render(batch.first, batch.last) for motion in motions], 1)
    return Synthesis(flows, motions, slices)


def halfway(network: nn.Module, pair: Pair) -> Tensor:
    """Synthesise the slice half-way between two, `(B, C, h, w)`."""
    _, (motion,) = network(pair, pair.first.new_tensor([0.5]))
    made: Tensor = motion.render(pair.first, pair.last)
    return made


def critic_step(
    fabric: Fabric, critics: Side, rank_batch: RankBatch, made: Synthesis
) -> dict[str, float]:
    """Optimise attention, classifier and both discriminators together."""
    batch = rank_batch.batch
    on_real = critics.network(batch.inner.flatten(0, 1))
    on_synthetic = critics.network(made.slices.detach().flatten(0, 1))
    terms = rank_batch.weigh(critic_losses(on_real, on_synthetic, batch.shows_object.flatten()))
    require_finite(terms)
    critics.update(fabric, torch.stack(list(terms.values())).sum())
    return {f"critic/{name}": float(term.detach()) for name, term in terms.items()}


def classifier_step(fabric: Fabric, critics: Side, rank_batch: RankBatch) -> dict[str, float]:
    """Optimise attention and classifier apart, on real slices: the first stage of IIA."""
    logits = critics.network(rank_batch.batch.inner.flatten(0, 1))["classifier"]
    loss = classification(logits, rank_batch.batch.shows_object.flatten())
    terms = rank_batch.weigh({"classifier": loss})
    require_finite(terms)
    critics.update(fabric, terms["classifier"])
    return {"critic/classifier": float(terms["classifier"].detach())}


def synthesis_step(
    fabric: Fabric, side: Side, terms: Mapping[str, Tensor], lambdas: Mapping[str, float]
) -> dict[str, float]:
    """Optimise the synthesis network on the weighted sum of the terms, eq. (6)."""
    require_finite(terms)
    weighted = {name: lambdas[name] * term for name, term in terms.items()}
    total = torch.stack(list(weighted.values())).sum()
    side.update(fabric, total)
    logged = {"train/total": total, **{f"train/raw/{n}": t for n, t in terms.items()}}
    logged |= {f"train/weighted/{name}": term for name, term in weighted.items()}
    return {name: float(value.detach()) for name, value in logged.items()}


@dataclass(frozen=True)
class Judged:
    """A batch, which network made what of it, and who judges it."""

    batch: Batch
    network: nn.Module
    made: Synthesis
    critics: Callable[[Tensor], dict[str, Tensor]] | None
    features: Features | None


def synthesis_terms(judged: Judged, lambdas: Mapping[str, float]) -> dict[str, Tensor]:
    """Compute the terms of eq. (6) whose λ is above zero; `cycle` on groups of three slices."""
    batch, made = judged.batch, judged.made
    critics, features = judged.critics, judged.features
    terms: dict[str, Callable[[], Tensor]] = {
        "rec": lambda: losses.reconstruction(made.slices, batch.inner),
        "warp": lambda: losses.warping(batch, made.flows, made.motions),
        "smooth": lambda: losses.smoothness(made.flows),
        "tp_smooth": lambda: losses.through_plane_smoothness(batch.first, made.slices, batch.last),
    }
    if made.motions[0].error is not None:
        terms["error"] = lambda: losses.error_likelihood(made.slices, batch.inner, made.motions)
    if batch.inner.shape[1] == 1:
        terms["cycle"] = lambda: losses.cycle(batch, partial(halfway, judged.network))
    if features is not None:
        terms["per"] = lambda: losses.perceptual(made.slices, batch.inner, features)
    if critics is not None:
        terms["adv"] = lambda: adversarial(critics(made.slices.flatten(0, 1)))
    return {name: term() for name, term in terms.items() if lambdas.get(name, 0.0) > 0}


def require_finite(terms: Mapping[str, Tensor]) -> None:
    """Stop training at the first term that is not a number.

    Raises:
        FloatingPointError: Naming the terms that broke.
    """
    broken = [name for name, term in terms.items() if not torch.isfinite(term)]
    if broken:
        values = ", ".join(f"{name} = {term.item():g}" for name, term in terms.items())
        msg = (
            f"loss term {', '.join(broken)} is not finite ({values}); lower "
            "synthesis.optimisation.learning_rate, set gradient_clip, or use precision 32-true"
        )
        raise FloatingPointError(msg)
