"""A batch of training groups, and the slices that a network synthesises for it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from slicefill.imputation.methods.slice_imputation.motion import Flows, Motion, Pair


@dataclass(frozen=True)
class GroupBatch:
    """Training groups of the same N, stacked.

    Attributes:
        slices: `(B, N + 2, C, h, w)`, intensities in [0, 1].
        shows_object: Y of the inner slices, `(B, N)`; nan where unknown.
        outer: Slices as far before the first and after the last as these are apart, or these
            themselves at the ends of a view, `(B, 2 C, h, w)`; None: not cut.
        high: High frequencies of the inner slices, of the whole volume, `(B, N, C, h, w)`; None
            where nothing asks for them.
        sigma: Standard deviation of the low-pass that they are above, pixels, `(B,)`.
        steps: Slices from one slice of the group to the next when the method is used, `(B,)`; 1 for
            in-plane groups. None: not known.
    """

    slices: Tensor
    shows_object: Tensor
    outer: Tensor | None = None
    high: Tensor | None = None
    sigma: Tensor | None = None
    steps: Tensor | None = None

    def to(self, device: torch.device) -> "GroupBatch":
        """Move to a device."""
        return self._each(lambda values: values.to(device))

    def take(self, chosen: slice) -> "GroupBatch":
        """Return some of the groups."""
        return self._each(lambda values: values[chosen])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "GroupBatch":
        """Change all values that are there."""
        given = {name: values for name, values in vars(self).items() if values is not None}
        return GroupBatch(**{name: change(values) for name, values in given.items()})

    @property
    def pair(self) -> Pair:
        """The input of a network: I_0, I_{N+1} and the slices beyond."""
        return Pair(self.first, self.last, self.outer)

    @property
    def first(self) -> Tensor:
        """I_0, `(B, C, h, w)`."""
        return self.slices[:, 0]

    @property
    def last(self) -> Tensor:
        """I_{N+1}, `(B, C, h, w)`."""
        return self.slices[:, -1]

    @property
    def inner(self) -> Tensor:
        """I_1 … I_N, `(B, N, C, h, w)`."""
        return self.slices[:, 1:-1]

    @property
    def is_acquired(self) -> Tensor:
        """Which groups are of acquired slices, as far apart as most of them are, `(B,)`, bool."""
        steps = self.shows_object.new_ones(len(self.slices)) if self.steps is None else self.steps
        return (steps == steps.max()) & (steps > 1)

    @property
    def positions(self) -> Tensor:
        """Positions t = n / (N + 1), n = 1 … N, `(N,)`."""
        steps = self.slices.shape[1] - 1
        return torch.arange(1, steps, device=self.slices.device) / steps


def as_batch(slices: Tensor, shows_object: Tensor) -> GroupBatch:
    """Make a batch of slices before, 0 … N + 1 and after, `(B, N + 4, C, h, w)`, and their Y."""
    return GroupBatch(slices[:, 1:-1], shows_object[:, 2:-2], slices[:, [0, -1]].flatten(1, 2))


@dataclass(frozen=True)
class Synthesis:
    """A batch and what a network made of it: what every loss term is computed from.

    Attributes:
        batch: Groups of N inner slices.
        network: The synthesis network; called again by terms that synthesise more.
        flows: Between the two outer slices of every group.
        motions: From each of the N inner positions to both outer slices.
        slices: The synthetic inner slices Î_1 … Î_N, `(B, N, C, h, w)`.
        critics: From slices `(B, C, h, w)`, and perhaps what further kinds see, to logits `(B,)`
            by critic, as `critics.Critics`; None without critics.
        features: φ of the perceptual loss, from `(B, C, h, w)` to features; None: not loaded.
    """

    batch: GroupBatch
    network: nn.Module
    flows: Flows
    motions: list[Motion]
    slices: Tensor
    critics: Callable[..., dict[str, Tensor]] | None = None
    features: Callable[[Tensor], Tensor] | None = None

    @property
    def real(self) -> Tensor:
        """The acquired inner slices I_1 … I_N, `(B, N, C, h, w)`."""
        return self.batch.inner

    @cached_property
    def fine(self) -> Tensor | None:
        """The groups of acquired slices, imputed as in use, `(B', D, C, h, w)`; None without any.

        Slices in every interval, acquired ones as they are: they are first, last and every
        `steps`-th.
        """
        chosen = self.batch.is_acquired
        if self.batch.steps is None or not chosen.any():
            return None
        slices, every = self.batch.slices[chosen], int(self.batch.steps.max())
        pair = Pair(slices[:, :-1].flatten(0, 1), slices[:, 1:].flatten(0, 1))
        t = torch.arange(1, every, device=slices.device) / every
        motions = self.network(pair, t)[1]
        made = torch.stack([motion.render(pair.first, pair.last) for motion in motions], 1)
        between = made.view(len(slices), -1, *made.shape[1:])
        stack = torch.cat([slices[:, :-1, None], between], 2).flatten(1, 2)
        return torch.cat([stack, slices[:, -1:]], 1)


def synthesise(network: nn.Module, batch: GroupBatch) -> Synthesis:
    """Synthesise the inner slices of a batch: eq. (1) to (3)."""
    flows, motions = network(batch.pair, batch.positions)
    slices = torch.stack([motion.render(batch.first, batch.last) for motion in motions], 1)
    return Synthesis(batch, network, flows, motions, slices)


def synthesise_halfway(network: nn.Module, pair: Pair) -> Tensor:
    """Synthesise the slice half-way between two, `(B, C, h, w)`."""
    _, (motion,) = network(pair, pair.first.new_tensor([0.5]))
    made: Tensor = motion.render(pair.first, pair.last)
    return made
