"""Optimisation steps: of the critics on eq. (13) and (14), of the synthesis network on eq. (6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.critics import (
    KINDS,
    Critics,
    classification,
    critic_losses,
)
from slicefill.imputation.methods.slice_imputation.losses import TERMS
from slicefill.imputation.methods.slice_imputation.synthesis import GroupBatch, Synthesis
from slicefill.training.hardware import rank_slice
from slicefill.training.optimised_network import OptimisedNetwork


@dataclass(frozen=True)
class RankBatch:
    """The part of a batch that one process takes.

    The weights multiply its means, so that their mean over the processes is that of the whole
    batch, however it divides; all are 1 where one process takes it whole.

    Attributes:
        batch: Its groups, at least one.
        weight: Of means over groups; 0 where no group was left for it.
        labelled: Of means over the inner slices with a known Y.
    """

    batch: GroupBatch
    weight: float
    labelled: float

    def weigh(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weigh loss terms; only `classifier` is a mean over labelled slices."""
        return {
            name: term * (self.labelled if name == "classifier" else self.weight)
            for name, term in terms.items()
        }


def take_rank_batch(whole: GroupBatch, fabric: Fabric) -> RankBatch:
    """Take every n-th group of a batch for this one of n processes (`rank_slice`).

    Example:
        >>> from types import SimpleNamespace
        >>> whole = GroupBatch(
        ...     torch.zeros(3, 3, 1, 2, 2), torch.tensor([[1.0], [0.0], [float("nan")]])
        ... )
        >>> ranks = [SimpleNamespace(global_rank=rank, world_size=2) for rank in (0, 1)]
        >>> [len(take_rank_batch(whole, rank).batch.slices) for rank in ranks]
        [2, 1]
        >>> [round(take_rank_batch(whole, rank).weight, 3) for rank in ranks]
        [1.333, 0.667]
    """
    mine, processes = rank_slice(fabric), fabric.world_size
    count, known = len(whole.slices[mine]), ~whole.shows_object.isnan()
    taken = mine if count else slice(1)  # a process without a group repeats one with weight 0
    return RankBatch(
        whole.take(taken),
        processes * count / len(whole.slices),
        processes * int(known[mine].sum()) / max(1, int(known.sum())),
    )


def critic_step(
    fabric: Fabric, critics: OptimisedNetwork, rank_batch: RankBatch, made: Synthesis
) -> dict[str, float]:
    """Optimise attention, classifier and all discriminators together."""
    batch, further = rank_batch.batch, _seen_by(critics.network, made)
    on_real = critics.network(
        batch.inner.flatten(0, 1), {n: real for n, (real, _) in further.items()}
    )
    on_synthetic = critics.network(
        made.slices.detach().flatten(0, 1), {n: fake.detach() for n, (_, fake) in further.items()}
    )
    terms = rank_batch.weigh(critic_losses(on_real, on_synthetic, batch.shows_object.flatten()))
    if not terms:  # the only critic there is does not judge such a batch
        return {}
    require_finite(terms)
    critics.update(fabric, torch.stack(list(terms.values())).sum())
    return {f"critic/{name}": float(term.detach()) for name, term in terms.items()}


def _seen_by(network: nn.Module, made: Synthesis) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what each further critic sees, real and synthetic, if it judges the batch."""
    seen = {}
    for name in cast(Critics, network.module).further:
        real, synthetic = KINDS[name].real(made), KINDS[name].synthetic(made)
        if real is not None and synthetic is not None:
            seen[name] = (real, synthetic)
    return seen


def classifier_step(
    fabric: Fabric, critics: OptimisedNetwork, rank_batch: RankBatch
) -> dict[str, float]:
    """Optimise attention and classifier apart, on real slices: the first stage of IIA."""
    logits = critics.network(rank_batch.batch.inner.flatten(0, 1))["classifier"]
    loss = classification(logits, rank_batch.batch.shows_object.flatten())
    terms = rank_batch.weigh({"classifier": loss})
    require_finite(terms)
    critics.update(fabric, terms["classifier"])
    return {"critic/classifier": float(terms["classifier"].detach())}


def synthesis_step(
    fabric: Fabric,
    synthesis: OptimisedNetwork,
    terms: Mapping[str, Tensor],
    lambdas: Mapping[str, float],
) -> dict[str, float]:
    """Optimise the synthesis network on the weighted sum of the terms, eq. (6)."""
    require_finite(terms)
    weighted = {name: lambdas[name] * term for name, term in terms.items()}
    total = torch.stack(list(weighted.values())).sum()
    synthesis.update(fabric, total)
    logged = {"train/total": total, **{f"train/raw/{n}": t for n, t in terms.items()}}
    logged |= {f"train/weighted/{name}": term for name, term in weighted.items()}
    return {name: float(value.detach()) for name, value in logged.items()}


def gradient_shares(weighted: Mapping[str, Tensor], network: nn.Module) -> dict[str, float]:
    """Norm of the gradient of each weighted term, as a fraction of the sum of these norms.

    It takes a backward pass per term. Where no term has a gradient, all are 0.

    Args:
        weighted: Computed with the network itself, not with what Fabric wraps around it.
        network: Those of its weights count that learn.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> made = layer(torch.ones(1, 1)).sum()
        >>> gradient_shares({"rec": 3 * made, "warp": made}, layer)
        {'rec': 0.75, 'warp': 0.25}
    """
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    norms = {name: _gradient_norm(term, learning) for name, term in weighted.items()}
    together = sum(norms.values())
    return {name: norm / together if together > 0 else 0.0 for name, norm in norms.items()}


def _gradient_norm(term: Tensor, learning: list[nn.Parameter]) -> float:
    if not term.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(term, learning, retain_graph=True, allow_unused=True)
    norms = [gradient.norm() for gradient in gradients if gradient is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0


def synthesis_terms(made: Synthesis, lambdas: Mapping[str, float]) -> dict[str, Tensor]:
    """Compute the terms of eq. (6) whose λ is above zero and that apply to the batch.

    Raises:
        TypeError: If a term is no tensor of one number.
    """
    chosen = {name: term for name, term in TERMS.items() if lambdas.get(name, 0.0) > 0}
    values = {name: term(made) for name, term in chosen.items()}
    for name, value in values.items():
        if value is not None and getattr(value, "shape", None) != ():
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            msg = f"loss term {name}: expected a tensor of one number, got {found}: take its mean"
            raise TypeError(msg)
    return {name: value for name, value in values.items() if value is not None}


def require_finite(terms: Mapping[str, Tensor]) -> None:
    """Stop training at the first term that is not a finite number.

    Raises:
        FloatingPointError: Naming the terms that are not finite.
    """
    broken = [name for name, term in terms.items() if not torch.isfinite(term)]
    if broken:
        values = ", ".join(f"{name} = {term.item():g}" for name, term in terms.items())
        msg = (
            f"loss term {', '.join(broken)} is not finite ({values}); lower "
            "synthesis.optimisation.learning_rate, set gradient_clip, use precision 32-true, or "
            "look at the term"
        )
        raise FloatingPointError(msg)
